-- An extension of its visibility timeout was begun in time, and was refused or had no answer. Of: redelivery,
-- dead-letter. Proof: an `extend` in its batch, begun within the hold, is not `ok`, and no delete was begun in time.
-- Do: begin heartbeats early enough to try again within the timeout
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND loses_calls(b.fault) AND b.start_ns <= h.extend_lost_ns AND b.stop_ns >= h.extend_lost_ns) AS instance,
       h.late_ns AS excess_ns
FROM returned h
WHERE h.extend_lost AND NOT h.released;
