-- An extension of its visibility timeout came only after that had ended. Of: redelivery, dead-letter. Proof: an
-- `extend` in its batch was begun after the latest end of the hold. Do: send heartbeats at half the visibility timeout
-- or sooner, from a thread that the work cannot hold up
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND slows_work(b.fault)) AS instance,
       h.extend_late_ns AS excess_ns
FROM returned h
WHERE h.extend_late_ns IS NOT NULL;
