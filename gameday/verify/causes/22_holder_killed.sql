-- The process that held it was killed. Of: redelivery, dead-letter. Proof: a `consumer-exited` mark with a signal, or,
-- where there is no mark, a fault that ends processes and names it, stands within the hold, before the message came
-- again; nothing of that consumer is recorded after it, and no delete of the message was answered. Do: expect it: the
-- work must be safe to do twice. A shorter visibility timeout with a heartbeat brings the message back sooner
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, killed_by AS instance, NULL AS excess_ns
FROM deserted
WHERE killed;
