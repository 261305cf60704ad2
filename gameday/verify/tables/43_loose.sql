-- Settling calls on queues that may have worked and do not tell which hold they are of: they excuse all that they may be of.

-- Those of no told message (42_unnamed.sql), and those of a told one that do not name their batch.
CREATE TABLE loose AS
SELECT s, NULL AS id, broker_id, action, began_ns, file, line, unnamed, batch FROM of_any
UNION ALL
SELECT c.s, c.id, c.broker_id, c.action, c.began_ns, c.file, c.line, false, NULL
FROM settles c JOIN subs u ON u.s = c.s
WHERE u.kind = 'queue' AND c.action <> 'checkpoint' AND c.may_work AND c.id IS NOT NULL AND c.batch IS NULL;

-- The receives of which a loose release or extend may be, begun after them (of each writer the first): from then on no end
-- of that hold is proven.
CREATE TABLE loosened AS
WITH anywhere AS (
    SELECT s, file, began_ns, bool_or(unnamed) AS unnamed FROM loose
    WHERE action <> 'delete' AND id IS NULL AND batch IS NULL GROUP BY s, file, began_ns
), held AS (
    SELECT x.line, x.s, x.id, w.file AS writer, x.at_ns - CASE WHEN w.file = x.file THEN 0 ELSE clock_error() END AS from_ns
    FROM rx x JOIN (SELECT DISTINCT s, file FROM anywhere) w ON w.s = x.s
)
SELECT line, file, min(began_ns) AS began_ns
FROM (
    SELECT x.line, c.file, c.began_ns
    FROM loose c JOIN rx x ON x.s = c.s AND x.id = c.id
    WHERE c.action <> 'delete' AND (c.broker_id IS NULL OR x.copy = '' OR c.broker_id = x.copy)
      AND NOT before(c.began_ns, c.file, x.at_ns, x.file)
    UNION ALL
    SELECT x.line, c.file, c.began_ns
    FROM loose c JOIN rx x ON x.s = c.s AND x.batch = c.batch
    WHERE c.action <> 'delete' AND c.id IS NULL AND (c.unnamed OR (x.s, x.id) IN (SELECT (s, id) FROM in_doubt))
      AND NOT before(c.began_ns, c.file, x.at_ns, x.file)
    UNION ALL
    SELECT x.line, c.file, c.began_ns
    FROM held x ASOF JOIN (FROM anywhere WHERE unnamed) c ON c.s = x.s AND c.file = x.writer AND c.began_ns >= x.from_ns
    UNION ALL
    SELECT x.line, c.file, c.began_ns
    FROM (FROM held SEMI JOIN in_doubt USING (s, id)) x
    ASOF JOIN anywhere c ON c.s = x.s AND c.file = x.writer AND c.began_ns >= x.from_ns
    UNION ALL
    -- A service may give back at any time what no invocation has reported done.
    SELECT x.line, x.file, 0
    FROM rx x JOIN subs u ON u.s = x.s AND u.by_service AND u.kind = 'queue'
    ANTI JOIN (FROM handlings WHERE done) h ON h.line = x.line
)
GROUP BY line, file;

-- Every delete that may have worked, with each message that it may be of; of those that name none, each writer's earliest.
-- `presumed`: nobody recorded it, and a service may have begun it at any time from then on.
CREATE TABLE possible_deletes AS
SELECT id, s, began_ns, file, ok, false AS presumed FROM settles WHERE action = 'delete' AND may_work AND id IS NOT NULL
UNION ALL
SELECT x.id, x.s, c.began_ns, c.file, false, false
FROM (SELECT s, batch, file, min(began_ns) AS began_ns FROM loose WHERE action = 'delete' AND unnamed GROUP BY ALL) c
JOIN (SELECT DISTINCT id, s, batch FROM rx) x ON x.s = c.s AND x.batch = c.batch
UNION ALL
SELECT x.id, x.s, c.began_ns, c.file, false, false
FROM (SELECT s, file, min(began_ns) AS began_ns FROM loose WHERE action = 'delete' AND unnamed AND batch IS NULL GROUP BY ALL) c
JOIN (SELECT DISTINCT id, s FROM rx) x ON x.s = c.s
UNION ALL
SELECT h.id, h.s, h.began.ns, h.began.file, false, true
FROM handlings h JOIN subs u ON u.s = h.s AND u.by_service AND u.kind = 'queue'
WHERE NOT h.failed;
