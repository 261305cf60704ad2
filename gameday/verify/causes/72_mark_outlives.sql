-- A guard found a mark that said that it was done, and the effect had never been applied. Of: effect-missing. Proof: an
-- `effect` of it is `skipped`, none is `applied`, and the effect stands nowhere. Do: write the mark with the effect in
-- one transaction, or let a mark without a result expire
-- (docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN effect_records e ON e.s = j.s AND e.id = j.id
WHERE j.what = 'effect-missing'
GROUP BY j.what, j.s, j.id HAVING bool_or(e.outcome = 'skipped') AND NOT bool_or(e.outcome = 'applied');
