-- The process that held it stood still while its visibility timeout ran out. Of: redelivery, dead-letter. Proof: a
-- fault that stops processes names its consumer, and was at work between the earliest end of the hold and the latest,
-- or its return (on a stream: while it had the record). Do: expect it: garbage collection, a frozen container or a
-- suspended machine do the same. The delete of a consumer that wakes up too late must not be trusted: let the effect
-- itself be conditional
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, min(b.instance) AS instance,
       max(CASE WHEN h.kind = 'queue' THEN greatest(h.late_ns, b.stop_ns - h.latest_ns, 0) END) AS excess_ns
FROM returned h JOIN beset b ON b.line = h.line AND stops_a_process(b.fault)
WHERE CASE h.kind WHEN 'queue' THEN b.start_ns < least(h.latest_ns, h.at_ns) AND b.stop_ns >= h.earliest_ns ELSE b.start_ns <= h.at_ns END
GROUP BY h.what, h.s, h.id, h.subject_line;
