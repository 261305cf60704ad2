-- The messages of which a record on a subscription may be one that does not name them. Nobody is blamed there for what such a
-- record could excuse. It may be any of which not every copy was named by an answer alone: an attempt has no answer that
-- proves anything, or an `ok` one that names no copy, or one that names a copy which cannot be told; or it was sent once more,
-- by a redrive; or all (22_troubled.sql).

CREATE TABLE in_doubt AS
WITH sent_again AS (
    SELECT DISTINCT s, id FROM raw WHERE event = 'redriven' AND id IS NOT NULL AND s IS NOT NULL
), nameless_answers AS (
    SELECT DISTINCT k.kind, r.id
    FROM raw r, (VALUES ('queue'), ('stream')) k(kind)
    WHERE r.event = 'sent' AND r.outcome = 'ok' AND r.id IS NOT NULL AND r.run IN (SELECT run FROM troubled)
      AND copy_name(k.kind, r.broker_id, r.part, r.broker_seq) IS NULL
)
SELECT e.s, e.id
FROM (SELECT s, id FROM expected
      UNION SELECT s, id FROM raw
            WHERE event IN ('received', 'dead', 'redriven') AND id IS NOT NULL AND s IN (SELECT s FROM troubled)) e
JOIN troubled t ON t.s = e.s
LEFT JOIN messages m ON m.id = e.id
WHERE coalesce(m.unsure, true)
   OR t.everyone
   OR (e.s, e.id) IN (SELECT (s, id) FROM sent_again)
   OR (t.kind, e.id) IN (SELECT (kind, id) FROM nameless_answers)
   OR (e.s, e.id) IN (SELECT (s, id) FROM perhaps_theirs);
