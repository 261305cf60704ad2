-- a before b, a ended dead, b received after a's last receive
WITH elsewhere AS (
    -- Where a was received by several writers, b has to be later than what each of them wrote.
    SELECT p.s, p.id, max(x.at_ns) AS at_ns
    FROM pairs p JOIN rx x ON x.s = p.s AND x.id = p.id AND x.file <> p.last.file
    WHERE p.dead GROUP BY p.s, p.id
), gaps AS (
SELECT p.s, p.id, f.any_ns, f.same_line
FROM followers f
JOIN pairs p ON p.s = f.s AND p.id = f.id
LEFT JOIN elsewhere e ON e.s = f.s AND e.id = f.id
WHERE f.asks = 'received last'
  AND (f.any_ns + clock_error() < -p.last.at_ns
       OR (f.same_line < -p.last.line AND coalesce(e.at_ns + clock_error() < -f.same_ns, true)))
)
SELECT g.s, g.id, 1 AS n, NULL AS note, o.other
FROM gaps g LEFT JOIN overtaker('gaps', 'received last') o ON o.s = g.s AND o.id = g.id;
