-- a message has more executions than starts that may have been accepted, and each start was waited for; one per extra one
SELECT NULL AS s, m.id, e.executions - greatest(b.starts, 1) AS n, NULL AS note
FROM messages m JOIN runs w ON w.run = m.run AND w.workflow = 'express-sync'
JOIN (
    SELECT id, count(*) AS executions
    FROM (SELECT id, arn FROM executions UNION SELECT id, execution FROM task_receives)
    GROUP BY id HAVING count(*) > 1
) e ON e.id = m.id
JOIN (
    SELECT id, greatest(count(*) FILTER (event = 'intended'), count(*) FILTER (event = 'sent'))
               - count(*) FILTER (event = 'sent' AND outcome = 'failed') AS starts
    FROM raw WHERE event IN ('intended', 'sent') AND id IS NOT NULL GROUP BY id
) b ON b.id = m.id
WHERE e.executions > greatest(b.starts, 1);
