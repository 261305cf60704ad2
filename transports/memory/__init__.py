"""An SQS broker in memory: a real broker for tests and for measuring ourselves, instead of mocks.

`python -m transports.memory` serves it on loopback by SQS's own JSON protocol, so that boto3 and aiobotocore talk to it
unchanged. It promises what AWS documents for Standard and FIFO queues, each operation in O(log n) of the queue, and
deliberate defects (`--defect`) against which checks are proven. The layers: `queues` decides, with the time passed in
and no I/O; `broker` speaks SQS's operations as data; `server` carries them over HTTP. Not modelled: quotas and
throttling, retention, ReceiveRequestAttemptId, fair queues, message move tasks, policies, encryption.
"""
