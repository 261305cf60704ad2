-- Two handlings of it wrote their effects at the same time, and the guard between them let both through. Of:
-- effect-duplicate. Proof: the write of one effect began before the other one was recorded, in another batch. Do: check
-- and write in one conditional write, or in one transaction
-- (docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate).
SELECT j.what, j.s, j.id, j.line, NULL AS instance, NULL AS excess_ns
FROM subjects j JOIN effect_records e ON e.line = j.line AND e.s = j.s AND e.id = j.id
JOIN effect_records o ON o.s = e.s AND o.id = e.id AND o.outcome = 'applied' AND o.line <> e.line
    AND o.batch IS DISTINCT FROM e.batch AND o.at_ns <= e.at_ns AND e.started_ns > 0 AND e.started_ns < o.at_ns
WHERE j.what = 'effect-duplicate'
GROUP BY j.what, j.s, j.id, j.line;
