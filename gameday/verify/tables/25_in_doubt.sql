-- The messages of which a record on a subscription may be one that does not name them. Nobody is blamed there for what such a
-- record could excuse. It may be any of which not every copy was named by an answer alone: an attempt has no answer that
-- proves anything, or an `ok` one that names no copy, or one that names a copy which cannot be told; or it was sent once more,
-- by a redrive; or all (22_troubled.sql). On a queue that is shared it is any that others may have had: all but those of which
-- one copy was received, as often as the broker counts, its death included.

CREATE TABLE in_doubt AS
WITH sent_again AS (
    SELECT DISTINCT s, id FROM raw WHERE event = 'redriven' AND id IS NOT NULL AND s IS NOT NULL
), seen_whole AS (
    SELECT s, id, max(receives) AS most
    FROM raw WHERE event = 'received' AND id IS NOT NULL AND s IN (SELECT s FROM shared)
    GROUP BY s, id
    HAVING count(*) = count(nullif(broker_id, '')) AND min(broker_id) = max(broker_id)
       AND count(*) = count(receives) AND min(receives) = 1 AND count(DISTINCT receives) = max(receives)
), on_shared AS (
    SELECT s, id FROM expected WHERE s IN (SELECT s FROM shared)
    UNION
    SELECT s, id FROM raw
    WHERE event IN ('received', 'dead', 'redriven') AND id IS NOT NULL AND s IN (SELECT s FROM shared)
), nameless_answers AS (
    SELECT DISTINCT k.kind, r.id
    FROM raw r, (VALUES ('queue'), ('stream')) k(kind)
    WHERE r.event = 'sent' AND r.outcome = 'ok' AND r.id IS NOT NULL AND r.run IN (SELECT run FROM troubled)
      AND copy_name(k.kind, r.broker_id, r.part, r.broker_seq) IS NULL
)
SELECT o.s, o.id
FROM on_shared o
LEFT JOIN seen_whole w ON w.s = o.s AND w.id = o.id
WHERE w.id IS NULL
   OR EXISTS (SELECT 1 FROM raw r WHERE r.s = o.s AND r.id = o.id
              AND (r.event = 'redriven' OR r.event = 'dead' AND r.receives IS DISTINCT FROM w.most))
UNION
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
