-- Its delete was begun in time, and nobody knows whether it came to the service: there was no answer. Of: redelivery,
-- dead-letter. Proof: a delete in its batch, begun within the hold, is `unknown` or has no `settled`. Do: try a delete
-- without an answer again, it is idempotent
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-batch-api-actions.html), and let the work be
-- safe to do twice.
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND loses_calls(b.fault) AND b.start_ns <= coalesce(h.delete_began_ns, h.at_ns)) AS instance,
       NULL AS excess_ns
FROM returned h
WHERE h.delete_unsure;
