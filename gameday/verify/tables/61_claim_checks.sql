-- Messages whose body stands in an object, and what was seen of them; and what was said of schemas.
-- `fetches`: each time a consumer asked for an object. `goings`: moments at which an object is proven to be gone: a consumer
-- was told so on s, or a removal of it had been answered `ok`, which concerns each s on which a delete of m was.
-- `claim_checks`, per (message, subscription): `looked`: somebody asked there, and was answered; `compared`: how often a body
-- that was there was held against its checksum. `conformity`: how often a schema was asked of what was received there.
-- `orphans`: objects without a message: its subscriptions are drained, and it stands among no dead letters.

CREATE TABLE fetches AS
SELECT line, file, at_ns, id, s, outcome, intact FROM raw
WHERE event = 'fetched' AND id IS NOT NULL AND s IS NOT NULL;

CREATE TABLE goings AS
SELECT line, file, at_ns, id, s FROM fetches WHERE outcome = 'gone'
UNION ALL
SELECT r.line, r.file, r.at_ns, r.id, p.s
FROM raw r JOIN pairs p ON p.id = r.id
WHERE r.event = 'removed' AND r.outcome = 'ok' AND p.deleted;

CREATE TABLE claim_checks AS
WITH put AS (
    SELECT id, bool_or(event = 'stored' AND outcome = 'ok') AS stored FROM raw
    WHERE event IN ('storing', 'stored') AND id IS NOT NULL GROUP BY id
), seen AS (
    SELECT id, s, bool_or(outcome IN ('ok', 'gone')) AS looked,
           count(*) FILTER (outcome = 'ok' AND intact IS NOT NULL) AS compared
    FROM fetches GROUP BY id, s
)
SELECT p.run, p.id, p.s, p.kind, p.expected, p.received, o.stored, coalesce(f.looked, false) AS looked,
       coalesce(f.compared, 0) AS compared
FROM pairs p JOIN put o ON o.id = p.id
LEFT JOIN seen f ON f.id = p.id AND f.s = p.s
WHERE p.expected OR p.received;

CREATE TABLE conformity AS
SELECT p.run, p.id, p.s, coalesce(t.told, 0) AS told
FROM pairs p
LEFT JOIN (SELECT id, s, count(*) AS told FROM raw
           WHERE event IN ('received', 'fetched') AND conforms IN ('ok', 'bad') AND id IS NOT NULL AND s IS NOT NULL
           GROUP BY id, s) t ON t.id = p.id AND t.s = p.s
WHERE p.received;

CREATE TABLE orphans AS
SELECT l.id, l.line, o.bounded
FROM (SELECT id, any_value(run) AS run, min(line) AS line FROM raw WHERE event = 'leftover' AND id IS NOT NULL GROUP BY id) l
JOIN objects_read o ON o.run = l.run
JOIN messages m ON m.id = l.id AND m.intended_ns IS NOT NULL
ANTI JOIN (FROM pairs WHERE (expected OR received) AND (NOT drained OR dead OR in_doubt)) p ON p.id = l.id;
