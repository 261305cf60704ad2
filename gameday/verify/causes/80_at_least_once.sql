-- The service brought it again by itself, which it may: the queue is a Standard one. Of: redelivery, dead-letter.
-- Proof: on a queue without deduplication, it came again before its hold had ended and nobody had given it back, or its
-- delete had been answered `ok` within the hold and before it was asked for again. Do: let the work be safe to do
-- twice; where that cannot be, use a FIFO queue
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds
WHERE kind = 'queue' AND NOT deduplicates AND (soon OR deleted);
