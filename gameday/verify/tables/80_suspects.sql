-- What several checks look at: missing messages, receives that came again, receives that overtook, idle faults.

-- acked, expected, never received but from a replay, nor dead; `proven` by a drain, or by a later message of its group
-- that was received (where there are dead letters, before they were last read: until then it may be among them).
CREATE TABLE missing AS
SELECT s, id, drained AS proven FROM pairs WHERE acked AND expected AND NOT first_hand AND NOT dead;

CREATE VIEW missing_and_received AS
SELECT p.s, p.id, p.grp, p.producer, p.seq, p.number, p.part, p.only_part, p.sent_number, p.sent_part, p.began, p.ended,
       p.one_call, p.kind, p.unsure, p.acked, CASE WHEN p.received AND proves THEN 0 END AS ns,
       CASE WHEN p.received AND proves THEN 0 END AS line,
       0 AS file, CASE WHEN m.id IS NOT NULL THEN 0 END AS asks_file
FROM (SELECT *, NOT dead_letter OR kind = 'stream' OR coalesce(first.at_ns + clock_error() < looked_ns, false) AS proves
      FROM pairs) p
SEMI JOIN (SELECT q.s, q.grp FROM missing n JOIN pairs q ON q.s = n.s AND q.id = n.id) g ON g.s = p.s AND g.grp = p.grp
LEFT JOIN missing m ON m.s = p.s AND m.id = p.id
WHERE p.ordered_by IS NOT NULL;

-- A redrive puts a message behind those that came after it, so then its group proves nothing.
UPDATE missing SET proven = true
FROM followers('missing_and_received') f JOIN pairs p ON p.s = f.s AND p.id = f.id
WHERE f.s = missing.s AND f.id = missing.id AND p.first_redrive IS NULL;

CREATE VIEW first_receives AS
SELECT s, id, grp, producer, seq, number, part, only_part, sent_number, sent_part, began, ended, one_call, kind, unsure,
       acked, first.at_ns AS ns, first.line AS line, first.file AS file, first.file AS asks_file
FROM pairs WHERE (received OR expected) AND ordered_by IS NOT NULL;

CREATE VIEW first_effects AS
SELECT s, id, grp, producer, seq, number, part, only_part, sent_number, sent_part, began, ended, one_call, kind, unsure,
       acked, first_applied.at_ns AS ns, first_applied.line AS line, first_applied.file AS file,
       least(first_apply_began, first_unhandled).file AS asks_file
FROM pairs WHERE applied_records > 0 AND ordered_by IS NOT NULL;

-- Those of `rows` whose moment lies so near to that of another of their group, in another file, that the clocks' error
-- leaves their order open. Neighbours are enough: between two of different files some neighbours are of different files.
CREATE MACRO too_close(rows) AS TABLE
SELECT s, id
FROM (SELECT s, id, ns, file, lag(ns) OVER near AS before_ns, lag(file) OVER near AS before_file
      FROM query_table(rows) WHERE grp IS NOT NULL AND ns IS NOT NULL AND clock_error() > 0
      WINDOW near AS (PARTITION BY s, grp ORDER BY ns, file))
WHERE before_file <> file AND ns - before_ns <= clock_error();

-- Those whose effect stands, for what an order claim has looked at: any message may stand before them.
CREATE VIEW applied AS
SELECT s, id, grp, producer, seq, number, part, only_part, sent_number, sent_part, began, ended, one_call, kind, unsure,
       acked, 0 AS ns, 0 AS line, 0 AS file, CASE WHEN applied > 0 THEN 0 END AS asks_file
FROM pairs WHERE (received OR expected) AND ordered_by IS NOT NULL;

-- The last receive in each file. Times are turned round, so that "the smallest after it" is the last.
CREATE VIEW last_receives AS
SELECT p.s, p.id, grp, producer, seq, number, part, only_part, sent_number, sent_part, began, ended, one_call, kind,
       unsure, acked, -l.at_ns AS ns, -l.line AS line, l.file AS file,
       CASE WHEN surely_dead AND l.file = p.last.file THEN l.file END AS asks_file
FROM pairs p
JOIN (SELECT s, id, file, max(at_ns) AS at_ns, max(line) AS line FROM rx GROUP BY s, id, file) l
    ON l.s = p.s AND l.id = p.id
WHERE ordered_by IS NOT NULL
  AND EXISTS (SELECT 1 FROM pairs d WHERE d.s = p.s AND d.grp = p.grp AND d.dead);

CREATE VIEW effects_recorded AS
SELECT count(*) > 0 AS recorded FROM raw WHERE event = 'effect' OR (event = 'mark' AND name = 'effects-read');

-- Receives of a copy that was received before, with those that came too early.
-- `uncounted`: it has no count, or another batch received the copy with the same one.
CREATE TABLE repeated AS
SELECT x.*, x.receives IS NULL OR min(x.batch) OVER same_count <> max(x.batch) OVER same_count AS uncounted
FROM (SELECT * REPLACE (coalesce(batch, 'line ' || line) AS batch) FROM rx) x
SEMI JOIN (SELECT s, id, copy FROM rx WHERE copy <> '' GROUP BY ALL HAVING count(*) > 1) r
    ON r.s = x.s AND r.id = x.id AND r.copy = x.copy
WINDOW same_count AS (PARTITION BY x.s, x.id, x.copy, x.receives);

CREATE VIEW came_again AS
SELECT r.* FROM repeated r JOIN subs u ON u.s = r.s WHERE u.kind = 'queue' AND u.deduplicates;

-- Counted receives, each with the hold that it followed: the receive that the broker counted just before it.
-- `early`: recorded before that hold had ended, and nobody had given it back; `close`: nobody can tell, for the clocks'
-- error.
CREATE TABLE followed AS
WITH held AS (
    SELECT r.line, r.at_ns, r.file, r.s, r.id, r.copy, h.file AS hold_file, h.batch AS hold_batch,
           earliest_end(h.earliest_end_ns, h.latest_end_ns, e.extends, h.file, r.at_ns, r.file) AS earliest_ns,
           earliest_end(h.told_end_ns, h.latest_end_ns, e.extends, h.file, r.at_ns, r.file) AS told_ns
    FROM came_again r
    JOIN came_again h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND h.receives = r.receives - 1
        AND NOT coalesce(before(r.at_ns, r.file, h.started_ns, h.file), false)
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND of_copy(e.broker_id, h.copy)
    WHERE NOT r.uncounted
)
SELECT f.s, f.id, f.line,
       bool_and(coalesce(before(f.at_ns, f.file, f.earliest_ns, f.hold_file), false)) AND count(c.line) = 0 AS early,
       clock_error() > 0 AND count(c.line) = 0
           AND bool_and(coalesce(
               f.at_ns < f.told_ns + CASE WHEN f.file = f.hold_file THEN 0 ELSE clock_error() END, false)) AS close
FROM held f
LEFT JOIN settles c ON c.s = f.s AND c.id = f.id AND c.batch = f.hold_batch AND c.action = 'release'
    AND of_copy(c.broker_id, f.copy) AND c.may_work AND NOT before(f.at_ns, f.file, c.began_ns, c.file)
GROUP BY f.s, f.id, f.line;

CREATE TABLE early_receives AS
WITH twice AS (
    SELECT line FROM came_again
    QUALIFY row_number() OVER (PARTITION BY s, id, copy, batch ORDER BY line) > 1
), hasty_uncounted AS (
    -- No count is needed where its call began after another receive was recorded: it follows that hold.
    SELECT r.line
    FROM came_again r
    JOIN came_again h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND h.batch IS DISTINCT FROM r.batch
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND of_copy(e.broker_id, h.copy)
    WHERE r.uncounted AND before(h.at_ns, h.file, r.started_ns, r.file)
      AND before(r.at_ns, r.file,
                 earliest_end(h.earliest_end_ns, h.latest_end_ns, e.extends, h.file, r.at_ns, r.file), h.file)
      AND NOT EXISTS (
          SELECT 1 FROM settles c
          WHERE c.s = r.s AND c.id = r.id AND c.action = 'release' AND c.may_work AND of_copy(c.broker_id, r.copy)
            AND NOT before(r.at_ns, r.file, c.began_ns, c.file) AND NOT before(c.began_ns, c.file, h.at_ns, h.file))
      AND NOT EXISTS (
          SELECT 1 FROM redrives d
          WHERE d.s = r.s AND d.id = r.id
            AND NOT record_before(d.at_ns, d.file, d.line, h.at_ns, h.file, h.line)
            AND NOT record_before(r.at_ns, r.file, r.line, d.at_ns, d.file, d.line))
), in_time AS (
    -- By the file that answered: the earliest answer to a delete that was begun and answered within its hold.
    SELECT h.s, h.id, h.copy, d.file, min(d.answered_ns) AS answered_ns
    FROM came_again h
    JOIN settles d ON d.s = h.s AND d.id = h.id AND d.batch = h.batch AND d.action = 'delete' AND d.ok
        AND of_copy(d.broker_id, h.copy)
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND of_copy(e.broker_id, h.copy)
    WHERE d.answered_ns < earliest_end(h.earliest_end_ns, h.latest_end_ns, e.extends, h.file, d.began_ns, d.file)
    GROUP BY h.s, h.id, h.copy, d.file
), deleted AS (
    SELECT r.line
    FROM came_again r JOIN in_time d ON d.s = r.s AND d.id = r.id AND d.copy = r.copy
    WHERE before(d.answered_ns, d.file, r.started_ns, r.file)
)
SELECT * FROM came_again
WHERE line IN (SELECT line FROM twice UNION SELECT line FROM followed WHERE early
               UNION SELECT line FROM hasty_uncounted UNION SELECT line FROM deleted);

-- How often a copy came again without being early.
CREATE VIEW again AS
SELECT r.s, r.id, r.copy, count(*) - 1 - count(e.line) AS n, bool_or(r.uncounted) AS uncounted
FROM repeated r LEFT JOIN early_receives e ON e.line = r.line
GROUP BY r.s, r.id, r.copy;

-- While was a message proven to be queued? From its first receive until its first delete may have begun: if it was
-- deleted, all that time; else as far as a call that received the same copy again.
CREATE TABLE queued AS
WITH elsewhere AS (
    -- Another writer's delete may by its clock have been the first.
    SELECT d.s, d.id, min({'at_ns': d.began_ns, 'file': d.file}) AS first_delete
    FROM settles d JOIN pairs p ON p.s = d.s AND p.id = d.id AND d.file <> p.first_delete.file
    WHERE clock_error() > 0 AND d.action = 'delete' AND d.may_work
    GROUP BY d.s, d.id
), waited AS (
    SELECT p.s, p.id, p.first, p.first_delete, NULL AS copy_number, p.dead_letter AS needs_look, p.looked_ns,
           p.first.at_ns AS from_ns, p.first.file AS from_file, p.first.line AS from_line,
           p.first_delete.at_ns AS until_ns, p.first_delete.file AS until_file
    FROM pairs p
    WHERE p.kind = 'queue' AND p.ordered_by = 'group' AND p.received AND p.deleted AND NOT p.ever_dead
      AND p.first_redrive IS NULL
    UNION ALL
    SELECT p.s, p.id, p.first, p.first_delete, r.number, false, p.looked_ns, r.first.at_ns, r.first.file, r.first.line, r.last.at_ns, r.last.file
    FROM (SELECT r.s, r.id, r.copy, max(r.number) AS number,
                 min({'at_ns': r.at_ns, 'file': r.file, 'line': r.line}) AS first,
                 max({'at_ns': r.started_ns, 'file': r.file}) FILTER (
                     p.first_redrive IS NULL OR record_before(r.at_ns, r.file, r.line, p.first_redrive.at_ns,
                                                              p.first_redrive.file, p.first_redrive.line)) AS last
          FROM repeated r JOIN pairs p ON p.s = r.s AND p.id = r.id
          WHERE r.started_ns IS NOT NULL GROUP BY r.s, r.id, r.copy) r
    JOIN pairs p ON p.s = r.s AND p.id = r.id
    WHERE p.kind = 'queue' AND p.ordered_by = 'group'
)
SELECT w.*, p.acked, p.grp, p.producer, p.seq, p.number, p.sent_number, p.ended, p.one_call,
       least(w.until_ns, w.first_delete.at_ns) AS bound_ns, e.first_delete AS delete_elsewhere
FROM waited w JOIN pairs p ON p.s = w.s AND p.id = w.id
LEFT JOIN elsewhere e ON e.s = w.s AND e.id = w.id
WHERE p.grp IS NOT NULL AND w.from_ns < least(w.until_ns, w.first_delete.at_ns);

-- Receives with a place among the receives of their group, so that an interval of time is a range of places.
CREATE TABLE places AS
SELECT x.s, p.grp, x.id, x.line, x.file, x.at_ns, x.batch, p.producer, p.seq, p.number, p.sent_number, p.unsure,
       x.number AS copy_number, p.began, p.one_call,
       row_number() OVER (PARTITION BY x.s, p.grp ORDER BY x.at_ns, x.file, x.line) AS place
FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id
SEMI JOIN queued q ON q.s = x.s AND q.grp = p.grp;

-- `covered`: a running count of the places that the spans cover, by which they are taken in pieces.
CREATE TABLE spans AS
WITH moments AS (
    SELECT s, grp, at_ns, min(place) AS first_place, max(place) AS last_place FROM places GROUP BY s, grp, at_ns
), ranged AS (
    SELECT q.*, f.first_place AS from_place, t.last_place AS to_place
    FROM queued q
    ASOF JOIN moments f ON f.s = q.s AND f.grp = q.grp AND f.at_ns >= q.from_ns
    ASOF JOIN moments t ON t.s = q.s AND t.grp = q.grp AND t.at_ns <= q.bound_ns
)
SELECT *, sum(to_place - from_place + 1) OVER (ORDER BY s, grp, from_place, id ROWS UNBOUNDED PRECEDING) AS covered
FROM ranged WHERE from_place <= to_place;

CREATE TABLE overtakes (s VARCHAR, id VARCHAR, line BIGINT, unread BOOLEAN);

-- The overtakes among the places of the spans from one running count to another.
CREATE MACRO overtakes_between(above, upto) AS TABLE
WITH reached AS (
    SELECT q.*, unnest(generate_series(q.from_place, q.to_place)) AS place
    FROM spans q WHERE q.covered > above AND q.covered <= upto
)
SELECT DISTINCT b.s, b.id, b.line,
       a.needs_look AND NOT coalesce(b.at_ns + clock_error() < a.looked_ns, false) AS unread
FROM reached a
JOIN places b ON b.s = a.s AND b.grp = a.grp AND b.place = a.place
LEFT JOIN rx mate ON mate.batch = b.batch AND mate.id = a.id AND mate.s = a.s AND mate.line < b.line
WHERE a.id <> b.id AND mate.line IS NULL
  AND record_before(a.from_ns, a.from_file, a.from_line, b.at_ns, b.file, b.line)
  AND before(b.at_ns, b.file, a.until_ns, a.until_file)
  AND (a.first_delete IS NULL OR before(b.at_ns, b.file, a.first_delete.at_ns, a.first_delete.file))
  AND (a.delete_elsewhere IS NULL OR before(b.at_ns, b.file, a.delete_elsewhere.at_ns, a.delete_elsewhere.file))
  AND CASE WHEN a.number IS NOT NULL AND b.number IS NOT NULL THEN a.number < b.number
           WHEN a.sent_number IS NOT NULL AND b.sent_number IS NOT NULL
           THEN a.sent_number < b.sent_number AND NOT b.unsure
           ELSE a.producer = b.producer AND a.seq < b.seq
                AND ((a.acked AND a.ended < b.began) OR a.one_call = b.one_call) END
  AND NOT coalesce(a.copy_number >= b.copy_number, false);

-- Faults, each with its window, and the reasons for which a run proves nothing. `unproven`: nobody saw it strike.
CREATE TABLE faults AS
WITH opened AS (
    SELECT fault, instance, min(at_ns) FILTER (phase = 'start') AS start_ns,
           max(at_ns) FILTER (phase = 'stop') AS stop_ns,
           any_value(label) AS label,
           any_value(targets) FILTER (phase = 'start' AND len(targets) > 0) AS targets,
           max(TRY_CAST(params ->> 'fired' AS BIGINT)) AS fired
    FROM raw WHERE event = 'fault' GROUP BY fault, instance
)
SELECT *, instance IN (SELECT instance FROM raw WHERE event = 'mark' AND name = 'fault-unproven' AND instance IS NOT NULL)
          AS unproven
FROM opened WHERE start_ns IS NOT NULL;

CREATE TABLE lives AS
WITH touched AS (
    SELECT id, max(at_ns) AS last_ns FROM raw
    WHERE event IN ('sent', 'received', 'effect', 'settled') AND id IS NOT NULL GROUP BY id
)
SELECT m.id, coalesce(m.due_ns, m.intended_ns) AS from_ns,
       greatest(coalesce(t.last_ns, m.due_ns, m.intended_ns), coalesce(m.due_ns, m.intended_ns)) AS to_ns
FROM messages m LEFT JOIN touched t ON t.id = m.id
WHERE m.intended_ns IS NOT NULL;

CREATE TABLE nothing_happened AS
WITH windows AS (
    SELECT fault, instance, start_ns, fired, coalesce(unproven, false) AS unproven,
           coalesce(stop_ns, (SELECT max(at_ns) FROM raw)) AS stop_ns
    FROM faults
), begun AS (
    SELECT w.fault, w.instance, count(l.id) AS n FROM windows w LEFT JOIN lives l ON l.from_ns + clock_error() <= w.stop_ns GROUP BY ALL
), over AS (
    SELECT w.fault, w.instance, count(l.id) AS n FROM windows w LEFT JOIN lives l ON l.to_ns - clock_error() < w.start_ns
        AND l.from_ns + clock_error() <= w.stop_ns GROUP BY ALL
)
SELECT 'nothing was acked' AS reason WHERE NOT EXISTS (SELECT 1 FROM messages WHERE status = 'acked')
UNION ALL
SELECT 'nothing was received' WHERE NOT EXISTS (SELECT 1 FROM rx)
UNION ALL
SELECT 'fault ' || w.fault || ' (' || coalesce(w.instance, '?') || ') '
       || CASE WHEN w.fired = 0 THEN 'never struck' WHEN w.unproven THEN 'may never have struck' ELSE 'touched no message' END
FROM windows w
JOIN begun b ON b.fault IS NOT DISTINCT FROM w.fault AND b.instance IS NOT DISTINCT FROM w.instance
JOIN over o ON o.fault IS NOT DISTINCT FROM w.fault AND o.instance IS NOT DISTINCT FROM w.instance
WHERE b.n - o.n = 0 OR coalesce(w.fired = 0, false) OR w.unproven;
