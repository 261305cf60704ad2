-- It ended among the dead letters before its effect was applied. Of: effect-missing. Proof: a `dead` of it that no
-- `redriven` follows. Do: see why it died (dead-letter); mend that and send it back
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id
WHERE j.what = 'effect-missing' AND p.dead;
