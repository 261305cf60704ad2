-- The answer to the receive call came to its consumer so late that the message had come back by then. Of: redelivery.
-- Proof: the receive that the broker counts next is recorded before this one. Do: expect it of slow networks and
-- processes that stand still: the visibility timeout runs from when the service answers, not from when the consumer
-- reads (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, held_ns - at_ns AS excess_ns
FROM returned
WHERE before(at_ns, file, held_ns, hold_file);
