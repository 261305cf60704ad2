-- Its consumer was still at it when its visibility timeout ended. Of: redelivery, dead-letter. Proof: an `effect` or a
-- settling call in its batch is later than the latest end of the hold. Do: choose a visibility timeout that the work
-- surely fits into, extend it while the work lasts, or receive fewer messages at once: what waits in hand is hidden for
-- no longer (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND slows_work(b.fault)) AS instance,
       h.late_ns AS excess_ns
FROM returned h
WHERE h.late_ns IS NOT NULL;
