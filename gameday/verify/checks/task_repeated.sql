-- a task of an execution that its start waited for was asked for in more than one message, and its machine asks only once; one per extra message
SELECT c.s, c.id, sum(c.copies - 1)::BIGINT AS n, NULL AS note, min(c.lines[2]) AS line, min(c.lines[1]) AS other_line
FROM (
    SELECT s, id, execution, item, count(*) AS copies, list(first.line ORDER BY first.at_ns, first.file, first.line) AS lines
    FROM task_copies GROUP BY s, id, execution, item HAVING count(*) > 1
) c
JOIN subs u ON u.s = c.s AND NOT u.retried
JOIN runs w ON w.run = u.run AND w.workflow = 'express-sync'
JOIN pairs p ON p.s = c.s AND p.id = c.id AND p.first_redrive IS NULL AND NOT p.in_doubt
GROUP BY c.s, c.id;
