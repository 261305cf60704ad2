-- It was deleted before its effect was applied. Of: effect-missing. Proof: a delete of it that may have worked was
-- begun in a batch in which no `effect` of it is `applied` or `skipped` before that. Do: delete a message only when its
-- work is done (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN settles d ON d.s = j.s AND d.id = j.id AND d.action = 'delete' AND d.may_work
LEFT JOIN effect_records e ON e.s = d.s AND e.id = d.id AND e.batch = d.batch AND e.outcome IN ('applied', 'skipped')
    AND NOT before(d.began_ns, d.file, e.at_ns, e.file)
WHERE j.what = 'effect-missing'
GROUP BY j.what, j.s, j.id HAVING count(*) > count(e.line);
