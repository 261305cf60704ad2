-- The process that held it ended by itself, and left the message to its visibility timeout. Of: redelivery,
-- dead-letter. Proof: a `consumer-exited` mark without a signal stands within the hold, before the message came
-- again; nothing of that consumer is recorded after it, and no delete of the message was answered. Do: on SIGTERM
-- finish what is in hand or give it back (a visibility timeout of 0), and have more time to drain than the work takes
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, killed_by AS instance, NULL AS excess_ns
FROM deserted
WHERE NOT killed;
