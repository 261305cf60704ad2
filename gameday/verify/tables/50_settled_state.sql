-- What was looked at, per subscription: whether it is proven drained, and whether the effect store was read back.

CREATE VIEW effect_records AS
-- One that does not say when its write began may have begun it at any time.
SELECT line, file, at_ns, coalesce(started_ns, 0) AS started_ns, id, s, batch, consumer, outcome
FROM raw WHERE event = 'effect' AND id IS NOT NULL AND s IS NOT NULL;

CREATE TABLE drains AS
WITH marks AS (
    SELECT run, s, max({'at_ns': at_ns, 'line': line, 'file': file, 'empty': coalesce("empty", false)}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'drained' GROUP BY run, s
), published AS (
    SELECT e.s, r.at_ns, r.file, r.line FROM raw r JOIN expected e ON e.id = r.id WHERE r.event = 'sent'
    UNION ALL
    SELECT m.s, r.at_ns, r.file, r.line
    FROM raw r JOIN marks m ON m.run = r.run WHERE r.event = 'mark' AND r.name IN ('replay-started', 'replay-ended')
), sends AS (
    SELECT r.s, count(*) AS late
    FROM published r JOIN subs u ON u.s = r.s JOIN marks m ON m.s = r.s
    WHERE NOT (record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
               AND m.mark.at_ns - r.at_ns >= u.settle_ns
                   + CASE WHEN r.file = m.mark.file THEN 0 ELSE clock_error() END)
    GROUP BY r.s
), others AS (
    SELECT r.s, count(*) AS late
    FROM raw r JOIN marks m ON m.s = r.s
    WHERE r.event IN ('redriven', 'received')
      AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
    GROUP BY r.s
)
SELECT u.run, u.s, m.mark IS NOT NULL AS looked, m.mark.at_ns AS looked_ns, coalesce(m.mark.empty, false) AS was_empty,
       coalesce(sends.late, 0) AS sends_late, coalesce(others.late, 0) AS others_late,
       h.s IS NOT NULL AS shared,
       -- What is not in it any more, others may have taken.
       coalesce(m.mark.empty AND coalesce(sends.late, 0) = 0 AND coalesce(others.late, 0) = 0, false) AND h.s IS NULL AS drained
FROM subs u
LEFT JOIN shared h ON h.s = u.s
LEFT JOIN marks m ON m.s = u.s
LEFT JOIN sends ON sends.s = u.s
LEFT JOIN others ON others.s = u.s;

CREATE TABLE read_back AS
WITH marks AS (
    SELECT s, max({'at_ns': at_ns, 'line': line, 'file': file}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'effects-read' GROUP BY s
)
SELECT m.s
FROM marks m
LEFT JOIN raw r ON r.s = m.s AND r.event IN ('received', 'effect')
    AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
GROUP BY m.s
HAVING count(r.line) = 0;

-- Receives that nobody knows the effect of: no `effect` of that message in that batch.
CREATE TABLE unhandled AS
SELECT x.id, x.s, x.at_ns, x.file
FROM rx x ANTI JOIN effect_records e ON e.batch = x.batch AND e.id = x.id AND e.s = x.s;

-- The runs that say anything of effects.
CREATE VIEW effects_recorded AS
SELECT DISTINCT run FROM raw WHERE event = 'effect' OR (event = 'mark' AND name = 'effects-read');
