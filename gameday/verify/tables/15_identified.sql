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
WHERE r.event = 'sent' AND r.outcome = 'ok' AND r.id IS NOT NULL AND r.run IN (SELECT run FROM nameless);

CREATE TABLE answered AS
SELECT a.* FROM answers a
SEMI JOIN nameless n ON n.run = a.run AND n.kind = a.kind AND n.name = a.name;

CREATE TABLE identified AS
WITH rivals AS (
    SELECT run, kind, name FROM answered GROUP BY ALL HAVING count(DISTINCT id) > 1
), contested AS (
    SELECT a.* FROM answered a SEMI JOIN rivals r ON r.run = a.run AND r.kind = a.kind AND r.name = a.name
), later AS (
    -- Each answer with each `intended` of the others that were given the same name: is it proven to be earlier?
    SELECT a.run, a.kind, a.name, a.id, a.line,
           coalesce(bool_and(coalesce(record_before(a.at_ns, a.file, a.line, i.at_ns, i.file, i.line), false)), false) AS first
    FROM contested a
    JOIN (SELECT DISTINCT run, kind, name, id FROM contested) o
      ON o.run = a.run AND o.kind = a.kind AND o.name = a.name AND o.id <> a.id
    LEFT JOIN raw i ON i.event = 'intended' AND i.id = o.id
    GROUP BY ALL
), given AS (
    SELECT run, kind, name, min(id) AS id
    FROM (SELECT run, kind, name, id FROM answered
          ANTI JOIN rivals USING (run, kind, name)
          UNION ALL SELECT run, kind, name, id FROM later WHERE first)
    GROUP BY run, kind, name HAVING min(id) = max(id)
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
LEFT JOIN given g ON g.run = n.run AND g.kind = n.kind AND g.name = n.name
LEFT JOIN heard h ON h.s = n.s AND h.name = n.name
WHERE coalesce(g.id, h.id) IS NOT NULL;

UPDATE parsed SET id = i.id FROM identified i WHERE parsed.rowid = i.line;

-- What cannot be told. A checkpoint is of a place, whoever stands there; and who settles without any name has never told
-- what.
CREATE TABLE unidentified AS
SELECT line, run, event, s, name FROM nameless
ANTI JOIN identified USING (line)
WHERE event NOT IN ('settling', 'settled') OR (action <> 'checkpoint' AND name IS NOT NULL);
