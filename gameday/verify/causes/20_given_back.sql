-- Its consumer gave it back before it was done. Of: redelivery, dead-letter. Proof: a release of it that may have
-- worked was begun in its batch, before it came again. Do: nothing, if the consumer was asked to stop: giving back what
-- was not begun is right. Else look why it takes more than it can do; a ChangeMessageVisibility to 0 uses up one
-- receive (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND ends_a_process(b.fault)) AS instance,
       NULL AS excess_ns
FROM returned h
WHERE h.released;
