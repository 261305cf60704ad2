-- Its consumer lived on past its visibility timeout and recorded nothing that it did with it. Of: redelivery,
-- dead-letter. Proof: there is no `effect` in its batch and no settling call that was begun, and its consumer recorded
-- something after the hold's end. Do: look at what waits in the consumer: a handler that hangs, a store in trouble, or
-- more in hand than it can work off within the visibility timeout
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM returned
WHERE kind = 'queue' AND NOT by_service AND outcome IS NULL AND heard_ns > latest_ns AND NOT ever_deleting AND NOT released;
