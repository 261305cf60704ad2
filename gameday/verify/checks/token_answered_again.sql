-- a handling sent a task token back again of which it knew that it had been accepted; one per time
SELECT r.s, r.id, count(DISTINCT r.line) AS n, NULL AS note, min(r.line) AS line, min(a.line) AS other_line
FROM raw r JOIN subs u ON u.s = r.s AND u.step IS NOT NULL
JOIN raw a ON a.event = 'answered' AND a.outcome = 'ok' AND a.file = r.file AND a.line < r.line
    AND a.id = r.id AND a.s = r.s AND a.token = r.token AND a.batch = r.batch
WHERE r.event = 'answering'
GROUP BY r.s, r.id;
