-- Its handler failed. Of: redelivery, dead-letter, effect-missing. Proof: the last `effect` of the batch that it was
-- received in is `failed`, or the answer of a function names it as failed (effect-missing: an `effect` of it is
-- `failed`, and none is `applied` or `skipped`). Do: read the handler's own error. Retries help with what passes by
-- itself; what fails each time belongs into a dead-letter queue
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND fails_work(b.fault)) AS instance, NULL AS excess_ns
FROM returned h
WHERE h.failed
UNION ALL
SELECT j.what, j.s, j.id, NULL, NULL, NULL
FROM subjects j JOIN effect_records e ON e.s = j.s AND e.id = j.id
WHERE j.what = 'effect-missing'
GROUP BY j.what, j.s, j.id HAVING bool_and(e.outcome = 'failed');
