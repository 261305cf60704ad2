-- A checkpoint covered it before its effect was applied, and then it did not come again. Of: effect-missing. Proof: on
-- a stream, a checkpoint at or behind it may have worked, and no `effect` of it is `applied`. Do: checkpoint only what
-- is done (docs.aws.amazon.com/streams/latest/dev/kinesis-record-processor-duplicates.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id AND p.kind = 'stream'
JOIN (SELECT s, part, max(reached) AS reached FROM checkpointed GROUP BY s, part) c
    ON c.s = p.s AND c.part = p.stored.part AND c.reached >= p.stored.number
WHERE j.what = 'effect-missing' AND p.effects.applied = 0;
