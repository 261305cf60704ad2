-- One handling of one receive applied the effect twice. Of: effect-duplicate. Proof: two `effect` records that are
-- `applied` have the same `batch`. Do: look for a retry inside the handler that writes again after a write whose answer
-- was lost; let the write itself be conditional
-- (docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate).
SELECT j.what, j.s, j.id, j.line, NULL AS instance, NULL AS excess_ns
FROM subjects j
JOIN effect_records e ON e.line = j.line AND e.s = j.s AND e.id = j.id
JOIN effect_records o ON o.s = e.s AND o.id = e.id AND o.batch = e.batch AND o.outcome = 'applied'
    AND (o.at_ns, o.line) < (e.at_ns, e.line)
WHERE j.what = 'effect-duplicate'
GROUP BY j.what, j.s, j.id, j.line;
