-- Which message a record is of that leaves out its `id`: `received`, `settling`, `settled`, `dead` and `redriven` by the name
-- that the broker gave the copy (`name`: on a queue its `broker_id`, on a stream its place in its partition). From here on
-- such a record has its `id` as if it had stood in it; what nobody can tell stays without.

-- The name of the copy that a record is about; NULL if it tells none.
CREATE MACRO copy_name(kind, broker_id, part, digits) AS
    CASE kind WHEN 'stream' THEN part || ':' || sequence_key(digits) ELSE broker_id END;

CREATE TABLE nameless AS
SELECT r.line, r.run, r.event, r.action, r.s, u.kind, copy_name(u.kind, r.broker_id, r.part, r.broker_seq) AS name
FROM raw r JOIN subs u ON u.s = r.s
WHERE r.id IS NULL AND r.event IN ('received', 'settling', 'settled', 'dead', 'redriven');

-- The names that answers to sends gave, by each kind of subscription.
CREATE VIEW answers AS
SELECT r.run, k.kind, copy_name(k.kind, r.broker_id, r.part, r.broker_seq) AS name, r.id, r.line, r.file, r.at_ns
FROM raw r, (VALUES ('queue'), ('stream')) k(kind)
WHERE r.event = 'sent' AND r.outcome = 'ok' AND r.id IS NOT NULL
  -- A list, for a join by the run would have all records of a history in one bucket of its hash table.
  AND list_contains((SELECT list(DISTINCT run) FROM nameless), r.run);

CREATE TABLE answered AS
SELECT a.* FROM answers a
SEMI JOIN nameless n ON n.run = a.run AND n.kind = a.kind AND n.name = a.name;

CREATE TABLE identified AS
WITH intents AS (
    SELECT DISTINCT id, unnest(expect) AS s FROM raw WHERE event = 'intended' AND id IS NOT NULL
), candidates AS (
    -- Each queue or stream may number its own messages: who expects the subscription comes first. Who expects only others is
    -- found there by its answer's name only where a filter may have failed.
    SELECT n.s, a.name, a.id, a.line, a.file, a.at_ns,
           CASE WHEN (a.id, n.s) IN (SELECT (id, s) FROM intents) THEN 0
                WHEN u.filtered OR a.id NOT IN (SELECT id FROM intents) THEN 1 END AS rank
    FROM answered a
    JOIN (SELECT DISTINCT run, s, kind, name FROM nameless) n ON n.run = a.run AND n.kind = a.kind AND n.name = a.name
    JOIN subs u ON u.s = n.s
), meant AS (
    SELECT * FROM candidates WHERE rank IS NOT NULL QUALIFY rank = min(rank) OVER (PARTITION BY s, name)
), rivals AS (
    SELECT s, name FROM meant GROUP BY ALL HAVING count(DISTINCT id) > 1
), contested AS (
    SELECT a.* FROM meant a SEMI JOIN rivals r ON r.s = a.s AND r.name = a.name
), later AS (
    -- Each answer with each `intended` of the others that were given the same name: is it proven to be earlier?
    SELECT a.s, a.name, a.id, a.line,
           coalesce(bool_and(coalesce(record_before(a.at_ns, a.file, a.line, i.at_ns, i.file, i.line), false)), false) AS first
    FROM contested a
    JOIN (SELECT DISTINCT s, name, id FROM contested) o ON o.s = a.s AND o.name = a.name AND o.id <> a.id
    LEFT JOIN raw i ON i.event = 'intended' AND i.id = o.id
    GROUP BY ALL
), given AS (
    SELECT s, name, min(id) AS id
    FROM (SELECT s, name, id FROM meant ANTI JOIN rivals USING (s, name)
          UNION ALL SELECT s, name, id FROM later WHERE first)
    GROUP BY s, name HAVING min(id) = max(id)
), heard AS (
    -- Where no answer decides, a receive that has an `id` and the same name does.
    SELECT s, name, min(id) AS id
    FROM (SELECT r.s, r.id, copy_name(u.kind, r.broker_id, r.part, r.broker_seq) AS name
          FROM raw r JOIN subs u ON u.s = r.s WHERE r.event = 'received' AND r.id IS NOT NULL) r
    SEMI JOIN nameless n ON n.s = r.s AND n.name = r.name
    GROUP BY s, name HAVING min(id) = max(id)
)
SELECT n.line, coalesce(g.id, h.id) AS id
FROM nameless n
LEFT JOIN given g ON g.s = n.s AND g.name = n.name
LEFT JOIN heard h ON h.s = n.s AND h.name = n.name
WHERE coalesce(g.id, h.id) IS NOT NULL;

UPDATE parsed SET id = i.id FROM identified i WHERE parsed.rowid = i.line;

-- What cannot be told. A checkpoint is of a place, whoever stands there; who settles without any
-- name may have settled any (43_loose.sql).
CREATE TABLE unidentified AS
SELECT line, run, event, s, name FROM nameless
ANTI JOIN identified USING (line)
WHERE event NOT IN ('settling', 'settled') OR (action <> 'checkpoint' AND name IS NOT NULL);
