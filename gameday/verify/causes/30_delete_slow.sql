-- Its delete was begun in time, and was answered only when the hold may have ended, or the message had been asked for
-- again. Of: redelivery, dead-letter. Proof: a delete in its batch was begun before the latest end of the hold; its
-- answer, `ok` or `failed`, is not proven to be before the earliest end, or not before the receive call that brought it
-- again. Do: begin deletes earlier before the visibility timeout ends, or extend it while they wait in a batch
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM returned
WHERE delete_slow;
