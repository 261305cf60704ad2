-- It was sent once, and the service stored it twice, which it may: the queue is a Standard one. Of: duplicate. Proof:
-- it has one attempt, which was answered `ok`, and two copies on a queue without deduplication. Do: let the work be
-- safe to do twice; where that cannot be, use a FIFO queue
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html).
SELECT j.what, j.s, j.id, j.line, NULL AS instance, NULL AS excess_ns
FROM subjects j JOIN subs u ON u.s = j.s JOIN sends t ON t.id = j.id
WHERE j.what = 'duplicate' AND u.kind = 'queue' AND NOT u.deduplicates AND t.attempts = 1 AND t.accepted = 1;
