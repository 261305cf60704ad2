-- What was looked at, per subscription: whether it is proven drained, and whether the effect store was read back.

CREATE TABLE drains AS
WITH marks AS (
    SELECT run, s, max({'at_ns': at_ns, 'line': line, 'file': file, 'empty': coalesce("empty", false)}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'drained' GROUP BY run, s
), late AS (
    -- What each last look did not leave long enough behind: sends, of which only those count that expect the subscription, and
    -- replays.
    SELECT m.s, r.event, r.id
    FROM raw r JOIN marks m ON m.run = r.run JOIN subs u ON u.s = m.s
    WHERE (r.event = 'sent' OR (r.event = 'mark' AND r.name IN ('replay-started', 'replay-ended')))
      AND NOT (record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
               AND m.mark.at_ns - r.at_ns >= u.settle_ns
                   + CASE WHEN r.file = m.mark.file THEN 0 ELSE clock_error() END)
), meant AS (
    -- What their first attempt says that says any, as in 20_messages.sql.
    SELECT id, unnest(list_distinct(arg_min(expect, (coalesce(attempt, 0), line)))) AS s
    FROM raw SEMI JOIN late USING (id)
    WHERE raw.event IN ('intended', 'sent') GROUP BY id
), sends AS (
    SELECT s, count(*) AS late
    FROM (SELECT l.s FROM late l JOIN meant e ON e.id = l.id AND e.s = l.s WHERE l.event = 'sent'
          UNION ALL SELECT s FROM late WHERE event = 'mark')
    GROUP BY s
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

-- The subscriptions of which the last mark of this name follows every record that is one of `events`.
CREATE MACRO marked_after(mark_name, events) AS TABLE
WITH marks AS (
    SELECT s, max({'at_ns': at_ns, 'line': line, 'file': file}) AS mark
    FROM raw WHERE event = 'mark' AND name = mark_name GROUP BY s
)
SELECT m.s
FROM marks m
LEFT JOIN raw r ON r.s = m.s AND list_contains(events, r.event)
    AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
GROUP BY m.s
HAVING count(r.line) = 0;

CREATE TABLE read_back AS FROM marked_after('effects-read', ['received', 'effect']);

-- The same of a workflow's steps, and those that say anything of effects.
CREATE TABLE steps_read AS FROM marked_after('steps-read', ['received', 'step']);

CREATE TABLE steps_recorded AS
SELECT DISTINCT s FROM raw WHERE event = 'step' OR (event = 'mark' AND name = 'steps-read');

-- The runs that say anything of effects.
CREATE TABLE effects_recorded AS
SELECT DISTINCT run FROM raw WHERE event = 'effect' OR (event = 'mark' AND name = 'effects-read');
