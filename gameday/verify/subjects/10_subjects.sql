-- What is to be explained, from what the checks found; one row each. `line`: the record that is explained, NULL where it is
-- not one. `n`: for how many it stands: 1, but where no record tells of an effect that the store has. `other_line`: the
-- receive before (redelivery), of the copy before (duplicate), or that brought the effect (effect-duplicate).

CREATE TABLE subjects AS
WITH doubled AS (
    SELECT s, id, n FROM rows_found WHERE anomaly = 'effect-duplicate' AND n > 0
), applied AS (
    SELECT e.s, e.id, e.line, e.batch, row_number() OVER (PARTITION BY e.s, e.id ORDER BY e.at_ns, e.file, e.line) AS nth
    FROM effect_records e SEMI JOIN doubled d ON d.s = e.s AND d.id = e.id
    WHERE e.outcome = 'applied'
), told AS (
    SELECT a.s, a.id, a.line, a.batch FROM applied a JOIN doubled d ON d.s = a.s AND d.id = a.id
    WHERE a.nth BETWEEN 2 AND d.n + 1
)
SELECT 'redelivery' AS what, s, id, line, 1::BIGINT AS n, line_before AS other_line, NULL AS note
FROM repeated WHERE line_before IS NOT NULL
UNION ALL
SELECT 'duplicate', s, id, line, n, other_line, note FROM rows_found WHERE anomaly = 'send-duplicate' AND n > 0
UNION ALL
SELECT k.what, r.s, r.id, NULL, 1, NULL, NULL FROM rows_found r JOIN kind_of k ON k.anomaly = r.anomaly
WHERE k.what IN ('loss', 'overtake', 'effect-missing') AND r.n > 0
GROUP BY k.what, r.s, r.id
UNION ALL
SELECT 'effect-duplicate', t.s, t.id, t.line, 1, min(x.line), NULL
FROM told t LEFT JOIN rx x ON x.s = t.s AND x.id = t.id AND x.batch = t.batch
GROUP BY t.s, t.id, t.line
UNION ALL
SELECT 'effect-duplicate', d.s, d.id, NULL, d.n - count(t.line), NULL, NULL
FROM doubled d LEFT JOIN told t ON t.s = d.s AND t.id = d.id
GROUP BY d.s, d.id, d.n HAVING d.n > count(t.line)
UNION ALL
SELECT 'dead-letter', s, id, NULL, 1, NULL, NULL FROM pairs WHERE dead;
