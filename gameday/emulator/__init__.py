"""AWS's messaging in memory: a real broker for tests and for measuring ourselves, instead of mocks.

`python -m gameday.emulator` serves it on loopback by AWS's own protocols, so that boto3 and aiobotocore talk to it
unchanged. It promises what AWS documents for queues, topics, buses, streams, tables and objects, each operation on a
queue in O(log n), and deliberate defects (`--defect`) against which checks are proven. The layers: `queues` decides,
with the time passed in and no I/O; `broker` (SQS), `sns`, `eventbridge`, `kinesis`, `dynamodb` and `s3` speak their
services' operations as data, and `services` names them; `wire` writes AWS's protocols; `server` carries them over HTTP.
Not modelled: quotas and throttling (but for a `capacity` that is planted), retention, encryption.
"""
