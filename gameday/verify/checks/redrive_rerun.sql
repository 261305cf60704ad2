-- a redrive asked again for a task that was over before: what comes behind it in its machine had been asked for; one per message that came again
WITH told AS (
    SELECT c.id, c.s, c.execution, c.item, c.first,
           bool_or(before(r.at_ns, r.file, c.first.at_ns, c.first.file)) AS afterwards
    FROM task_copies c
    JOIN execution_redrives r ON r.id = c.id AND r.arn = c.execution
    GROUP BY ALL
)
SELECT t.s, t.id, (count(*) FILTER (t.afterwards) - CASE WHEN bool_and(t.afterwards) THEN 1 ELSE 0 END)::BIGINT AS n, NULL AS note,
       arg_max(t.first.line, (t.first.at_ns, t.first.file, t.first.line)) AS line, arg_min(t.first.line, (t.first.at_ns, t.first.file, t.first.line)) AS other_line
FROM told t
JOIN tasks k ON k.id = t.id AND k.s = t.s AND k.execution = t.execution AND k.item = t.item AND k.over_before_redrive
JOIN subs u ON u.s = t.s AND NOT u.retried
JOIN pairs p ON p.s = t.s AND p.id = t.id AND p.first_redrive IS NULL AND NOT p.in_doubt
GROUP BY t.s, t.id, t.execution, t.item
HAVING count(*) FILTER (t.afterwards) > CASE WHEN bool_and(t.afterwards) THEN 1 ELSE 0 END;
