-- Two handlings of it wrote an effect, or asked their guard, at the same time. On: queue, stream. Needs: effects.
SELECT e.s, e.id
FROM effect_records e
JOIN effect_records o ON o.s = e.s AND o.id = e.id AND o.batch <> e.batch
    AND e.started_ns > 0 AND o.started_ns BETWEEN e.started_ns AND e.at_ns
WHERE (e.s, e.id) IN (SELECT (s, id) FROM repeated)
