-- Its delete was begun in time, and the service refused it. Of: redelivery, dead-letter. Proof: a delete in its batch
-- was answered `failed` before the earliest end of the hold. Do: look at the `error`: throttling and internal errors
-- are to be tried again within the visibility timeout, entry by entry of a DeleteMessageBatch
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api-actions.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND loses_calls(b.fault) AND b.start_ns <= coalesce(h.delete_began_ns, h.at_ns)) AS instance,
       NULL AS excess_ns
FROM returned h
WHERE h.delete_refused;
