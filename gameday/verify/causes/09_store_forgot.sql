-- A handler recorded the effect as applied, and the store that was read back has none of it. Of: effect-missing. Proof:
-- an `effect` of it is `applied`, and the store was read back and says 0. Do: look at the store: a write that was
-- rolled back, a table that was restored, an expiry
-- (docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id
WHERE j.what = 'effect-missing' AND p.effects.read_back AND p.effects.applied > 0;
