-- Its delete was begun after its visibility timeout had ended, and came to nothing: its receipt was stale. Of:
-- redelivery, dead-letter. Proof: a delete in its batch was begun after the latest end of the hold and before it came
-- again. Do: choose a visibility timeout that the work surely fits into, or extend it while it lasts; an old receipt
-- handle may be refused, or be answered `ok` and delete nothing
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND slows_work(b.fault)) AS instance,
       h.stale_ns AS excess_ns
FROM returned h
WHERE h.stale_ns IS NOT NULL;
