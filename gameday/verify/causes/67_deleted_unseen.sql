-- Somebody deleted it without having recorded that it was received. Of: loss. Proof: a delete of it that may have
-- worked was begun, and there is no `received` of it. Do: record each receive before it is handled; look who else works
-- on that queue with the same names (docs/history.md, run directory).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id
WHERE j.what = 'loss' AND NOT p.received AND p.first_delete IS NOT NULL;
