-- a start was refused with ExecutionAlreadyExists while the message's execution surely ran: it had asked for a task before, and took its token afterwards; one per attempt
SELECT NULL AS s, r.id, count(DISTINCT r.line) AS n, NULL AS note
FROM raw r JOIN messages m ON m.id = r.id JOIN runs w ON w.run = m.run AND w.workflow = 'standard'
JOIN task_receives g ON g.id = r.id AND before(g.at_ns, g.file, r.started_ns, r.file)
JOIN raw a ON a.event = 'answered' AND a.outcome = 'ok' AND a.id = r.id AND a.execution = g.execution
    AND before(r.at_ns, r.file, a.started_ns, a.file)
SEMI JOIN executions e ON e.id = r.id AND e.arn = g.execution
ANTI JOIN (SELECT id, arn FROM raw WHERE event = 'execution' AND redrives > 0) x ON x.id = r.id AND x.arn = g.execution
WHERE r.event = 'sent' AND r.outcome = 'failed' AND starts_with(r.error, 'ExecutionAlreadyExists')
GROUP BY r.id;
