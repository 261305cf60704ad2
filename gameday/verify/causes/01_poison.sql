-- The message is one that no handler can do, and belongs among the dead letters. Of: dead-letter. Proof: its `intended`
-- says `poison`. Do: nothing in the queue: read what is in the dead-letter queue, mend or drop it, and send it back
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html).
SELECT 'dead-letter' AS what, p.s, p.id, NULL AS line, NULL AS instance, NULL AS excess_ns
FROM pairs p JOIN subjects j ON j.what = 'dead-letter' AND j.s = p.s AND j.id = p.id
WHERE p.poison;
