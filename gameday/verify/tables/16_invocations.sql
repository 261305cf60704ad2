-- Invocations of functions: `invoked` and `responded`, by the batch that both name.

-- The subscriptions that functions are invoked for, as far as anybody says.
CREATE TABLE invoking AS
SELECT DISTINCT u.s, u.kind, u.ordered_by, u.by_service, u.all_invoked
FROM subs u
WHERE u.by_service OR u.all_invoked OR u.s IN (SELECT s FROM raw WHERE event IN ('invoked', 'responded') AND s IS NOT NULL);

-- Each of the messages that an `invoked` names is received then. Where a `received` in that batch tells of each of them,
-- those stand for that; where only of some, they are set aside, for nobody knows in which order the others came.
CREATE TABLE in_part AS
SELECT DISTINCT i.s, i.batch
FROM (SELECT s, batch, id FROM raw WHERE event = 'invoked' AND listed > 0) i
ANTI JOIN (SELECT s, batch, id FROM raw WHERE event = 'received' AND id IS NOT NULL) r
    ON r.s = i.s AND r.batch = i.batch AND r.id = i.id;

UPDATE parsed SET event = 'received in part'
FROM (SELECT DISTINCT i.s, i.batch, i.id FROM parsed i JOIN in_part p ON p.s = i.s AND p.batch = i.batch
      WHERE i.event = 'invoked' AND i.listed > 0) i
WHERE parsed.event = 'received' AND parsed.s = i.s AND parsed.batch = i.batch AND parsed.id = i.id;

UPDATE parsed SET event = 'received'
FROM in_part p WHERE parsed.event = 'invoked' AND parsed.listed > 0 AND parsed.s = p.s AND parsed.batch = p.batch;

-- One row per batch that was invoked: when first.
CREATE TABLE invocations AS
SELECT s, batch, min({'ns': at_ns, 'file': file, 'line': line}) AS invoked
FROM raw WHERE event = 'invoked' AND listed = 0 AND s IS NOT NULL AND batch IS NOT NULL
GROUP BY s, batch;

-- One row per answer.
CREATE TABLE answers_given AS
SELECT s, batch, at_ns, file, line, outcome, error, CASE WHEN outcome = 'ok' THEN coalesce(failed, []) ELSE [] END AS failed
FROM raw WHERE event = 'responded' AND s IS NOT NULL AND batch IS NOT NULL;

-- The batches of which an answer names a stranger.
CREATE TABLE astray AS
SELECT DISTINCT f.s, f.batch
FROM (SELECT s, batch, unnest(failed) AS id FROM answers_given) f
ANTI JOIN (SELECT s, batch, id FROM raw WHERE event = 'received' AND id IS NOT NULL) x
    ON x.s = f.s AND x.batch = f.batch AND x.id = f.id;

-- Of whom an answer says that its handler failed it: it is the only one of a batch that failed; or it is named in an answer
-- that names no other, or, on a queue ordered by group, first of those named: what stands behind a failure comes back
-- unhandled.
CREATE TABLE failed_by_answers AS
WITH alone AS (
    SELECT r.s, r.batch, min(r.id) AS id
    FROM raw r SEMI JOIN (FROM answers_given WHERE outcome = 'failed') a ON a.s = r.s AND a.batch = r.batch
    WHERE r.event IN ('received', 'invoked') AND r.id IS NOT NULL
    GROUP BY r.s, r.batch HAVING min(r.id) = max(r.id)
), untold AS (
    SELECT r.s, r.batch FROM raw r SEMI JOIN (FROM unidentified WHERE event = 'received') x ON x.line = r.line
), named AS (
    SELECT a.s, a.batch, a.failed, u.kind = 'queue' AND u.ordered_by IS NOT DISTINCT FROM 'group' AS in_turn,
           (SELECT arg_min(r.ids, (r.at_ns, r.file, r.line)) FROM raw r
            WHERE r.event = 'invoked' AND r.listed = 0 AND r.s = a.s AND r.batch = a.batch) AS ids
    FROM answers_given a JOIN invoking u ON u.s = a.s
    WHERE len(a.failed) > 0
)
SELECT s, batch, id FROM alone ANTI JOIN untold USING (s, batch)
UNION
SELECT s, batch, unnest(CASE WHEN NOT in_turn OR len(list_distinct(failed)) = 1 THEN failed
                             WHEN list_has_all(coalesce(ids, []), failed)
                             THEN list_filter(ids, lambda each: list_contains(failed, each))[1:1] END)
FROM named;
