-- applied more than once; one per extra time
SELECT p.s, p.id, p.applied - 1 AS n, NULL AS note, e.lines[2] AS line, e.lines[1] AS other_line
FROM pairs p
LEFT JOIN (SELECT s, id, list(line ORDER BY at_ns, file, line) AS lines
           FROM effect_records WHERE outcome = 'applied' GROUP BY s, id HAVING count(*) > 1) e ON e.s = p.s AND e.id = p.id
WHERE p.applied > 1 AND p.run IN (FROM effects_recorded);
