-- It was sent back from the dead letters, and has not been seen since. Of: loss, effect-missing. Proof: a `redriven` of
-- it follows everything else that is told of it. Do: look for it in the dead-letter queue and at the redrive task's own
-- status
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN rows_found f ON f.anomaly = 'lost-on-redrive' AND f.n > 0 AND f.s = j.s AND f.id = j.id
WHERE j.what = 'loss';
