-- What came back: each receive that came again, and each dead letter, with the receive that it followed and what became of
-- that one.
-- `line` is the key; `subject_line` that of the subject; `return_line`, `at_ns`, `file`: the record of its return. `gap`: the broker counts a receive
-- right before it that nobody recorded.
-- `holder`, `hold_line`, `hold_batch`, `held_ns`, `hold_file`: the receive that it followed. `earliest_ns`, `latest_ns`: the
-- ends of that hold, on a queue.

CREATE TABLE returns AS
WITH wanted AS (
    SELECT DISTINCT s, id FROM subjects WHERE what IN ('redelivery', 'dead-letter')
), counted AS (
    -- By the broker's count, where that tells: of several before it the last.
    SELECT r.line, arg_max(h.line, (h.at_ns <= r.at_ns, -abs(r.at_ns - h.at_ns), h.line)) AS hold_line
    FROM repeated r
    JOIN repeated h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND h.receives = r.receives - 1 AND h.batch <> r.batch
    WHERE NOT r.uncounted
    GROUP BY r.line
), died AS (
    SELECT d.s, d.id, arg_max({'line': d.line, 'at_ns': d.at_ns, 'file': d.file, 'receives': d.receives}, (d.at_ns, d.line)) AS last
    FROM dead_letters d SEMI JOIN wanted w ON w.s = d.s AND w.id = d.id
    GROUP BY d.s, d.id
), hindmost AS (
    -- Who wrote down a receive so late that the next one stands before it: that one is what came back.
    SELECT r.line, arg_min({'line': n.line, 'at_ns': n.at_ns, 'file': n.file, 'started_ns': n.started_ns, 'batch': n.batch,
                            'consumer': n.consumer, 'replay': n.replay}, (n.at_ns, n.line)) AS next
    FROM repeated r ANTI JOIN counted c ON c.line = r.line
    JOIN repeated n ON n.s = r.s AND n.id = r.id AND n.copy = r.copy AND n.receives = r.receives + 1 AND n.batch <> r.batch
        AND NOT n.uncounted AND (n.at_ns, n.line) < (r.at_ns, r.line)
    WHERE NOT r.uncounted
    GROUP BY r.line
), returned AS (
    SELECT 'redelivery' AS what, r.line, r.line AS subject_line, r.s, r.id, r.file, r.at_ns, r.started_ns, r.batch, r.consumer,
           r.replay, r.line AS return_line, coalesce(c.hold_line, r.line_before) AS hold_line,
           NOT r.uncounted AND r.receives > 1 AND c.hold_line IS NULL AS gap
    FROM repeated r LEFT JOIN counted c ON c.line = r.line ANTI JOIN hindmost n ON n.line = r.line
    WHERE r.line_before IS NOT NULL
    UNION ALL
    SELECT 'redelivery', r.line, r.line, r.s, r.id, n.next.file, n.next.at_ns, n.next.started_ns, n.next.batch, n.next.consumer,
           n.next.replay, n.next.line, r.line, false
    FROM repeated r JOIN hindmost n ON n.line = r.line
    WHERE r.line_before IS NOT NULL
    UNION ALL
    SELECT 'dead-letter', d.last.line, NULL, p.s, p.id, d.last.file, d.last.at_ns, NULL, NULL, NULL, NULL, d.last.line, p.last.line,
           coalesce(d.last.receives > x.receives, false)
    FROM pairs p JOIN died d ON d.s = p.s AND d.id = p.id
    JOIN rx x ON x.line = p.last.line AND x.s = p.s AND x.id = p.id
    WHERE p.dead
)
SELECT t.*, u.run, u.kind, u.deduplicates, u.by_service, u.all_invoked,
       h.consumer AS holder, h.batch AS hold_batch, h.at_ns AS held_ns, h.started_ns AS hold_started_ns, h.file AS hold_file, h.copy, h.part, h.number,
       h.ends, e.extends,
       latest_end(h.ends, e.extends, h.file, t.at_ns, t.file) AS latest_ns,
       earliest_end(h.ends, e.extends, h.file, t.at_ns, t.file) AS earliest_ns,
       h.replay AS hold_replay,
       q.line IS NOT NULL AS early,
       EXISTS (SELECT 1 FROM loosened l WHERE l.line = h.line AND NOT before(t.at_ns, t.file, l.began_ns, l.file)) AS loose
FROM returned t
JOIN rx h ON h.line = t.hold_line AND h.s = t.s AND h.id = t.id
JOIN subs u ON u.s = t.s
LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND e.copy = h.copy
LEFT JOIN early_receives q ON q.line = t.return_line;

-- What was told of each such hold, by calls begun before the message came back. A delete is `deleted` if its answer is proven
-- to have come before the hold's end and before the message was asked for again, `delete_slow` if it was begun in
-- time and answered later, `delete_refused` if it was answered `failed` in time, `delete_unsure` if it was begun in time and
-- nobody knows; `stale_ns`: by how much it was begun after
-- the hold's end. `late_ns`: by how much the last record about the hold is proven to be later than its end. `soon`: it came
-- back before that end, and nobody had given it back.
CREATE TABLE holds AS
WITH calls AS (
    SELECT t.line, d.action, d.ok, d.may_work, d.answered_ns, d.began_ns, d.file, d.answered_line,
           NOT before(t.at_ns, t.file, d.began_ns, d.file) AS until,
           latest_end(t.ends, t.extends, t.hold_file, d.began_ns, d.file) AS end_ns,
           coalesce(before(end_ns, t.hold_file, d.began_ns, d.file), false) AS late,
           coalesce(d.answered_ns < earliest_end(t.ends, t.extends, t.hold_file, d.began_ns, d.file), false) AS in_time,
           coalesce(before(d.answered_ns, d.file, coalesce(t.started_ns, t.at_ns), t.file), false) AS answered_before
    FROM returns t
    JOIN settles d ON d.s = t.s AND d.id = t.id AND d.batch = t.hold_batch AND of_copy(d.broker_id, t.copy)
    WHERE d.action <> 'checkpoint'
), settled AS (
    SELECT line,
           coalesce(bool_or(action = 'release' AND may_work AND until), false) AS released,
           coalesce(bool_or(action = 'delete' AND until), false) AS deleting,
           coalesce(bool_or(action = 'delete'), false) AS ever_deleting,
           coalesce(bool_or(action = 'delete' AND ok AND in_time AND answered_before), false) AS deleted,
           coalesce(bool_or(action = 'delete' AND until AND NOT late
                            AND (ok AND NOT (in_time AND answered_before) OR NOT may_work AND NOT in_time)), false) AS delete_slow,
           coalesce(bool_or(action = 'delete' AND NOT may_work AND until AND in_time), false) AS delete_refused,
           coalesce(bool_or(action = 'delete' AND may_work AND NOT ok AND until AND NOT late), false) AS delete_unsure,
           coalesce(bool_or(action = 'delete' AND answered_ns IS NOT NULL), false) AS delete_answered,
           min(began_ns) FILTER (action = 'delete') AS delete_began_ns,
           max(began_ns - end_ns) FILTER (action = 'delete' AND late AND until) AS stale_ns,
           coalesce(bool_or(action = 'extend' AND NOT ok AND until AND NOT late), false) AS extend_lost,
           min(began_ns) FILTER (action = 'extend' AND NOT ok AND until AND NOT late) AS extend_lost_ns,
           max(began_ns - end_ns) FILTER (action = 'extend' AND late) AS extend_late_ns,
           max(began_ns - end_ns) FILTER (late) AS settled_late_ns,
           coalesce(bool_or(may_work AND NOT ok), false) AS unsure
    FROM calls GROUP BY line
), handled AS (
    SELECT t.line, arg_max(e.outcome, e.line) AS outcome,
           max(e.at_ns - t.latest_ns) FILTER (before(t.latest_ns, t.hold_file, e.at_ns, e.file)) AS handled_late_ns
    FROM returns t JOIN effect_records e ON e.s = t.s AND e.id = t.id AND e.batch = t.hold_batch
    GROUP BY t.line
)
SELECT t.* EXCLUDE (ends, extends), coalesce(c.released, false) AS released, coalesce(c.deleting, false) AS deleting,
       coalesce(c.ever_deleting, false) AS ever_deleting, coalesce(c.deleted, false) AS deleted,
       coalesce(c.delete_slow, false) AS delete_slow, coalesce(c.delete_refused, false) AS delete_refused,
       coalesce(c.delete_unsure, false) AS delete_unsure, coalesce(c.delete_answered, false) AS delete_answered,
       c.delete_began_ns, c.stale_ns, coalesce(c.extend_lost, false) AS extend_lost, c.extend_lost_ns, c.extend_late_ns,
       coalesce(c.unsure, false) AS unsure,
       coalesce(before(t.at_ns, t.file, t.earliest_ns, t.hold_file), false) AND NOT t.loose AND NOT coalesce(c.released, false) AND NOT t.gap
           AS soon,
       greatest(c.settled_late_ns, h.handled_late_ns) AS late_ns, h.outcome,
       -- A handler that failed it and then did it has done it.
       coalesce(h.outcome, 'failed') = 'failed'
           AND (t.s, t.hold_batch, t.id) IN (SELECT (s, batch, id) FROM failures) AS failed,
       x.at_ns AS exit_ns, x.code AS exit_code, l.at_ns AS heard_ns
FROM returns t
LEFT JOIN settled c ON c.line = t.line
LEFT JOIN handled h ON h.line = t.line
LEFT JOIN exits x ON x.consumer = t.holder
LEFT JOIN last_heard l ON l.consumer = t.holder;

-- Those that came back as a broker that keeps all its promises would give them: after their hold, or given back.
CREATE VIEW returned AS SELECT * FROM holds WHERE NOT early AND NOT deleted AND NOT soon AND NOT gap;

-- The faults that named the holder of each while it held the message, for who proves more of one.
CREATE VIEW beset AS
SELECT h.line, a.fault, a.instance, a.start_ns, a.stop_ns
FROM returns h JOIN afflicted a ON a.run = h.run AND a.consumer = h.holder AND a.start_ns <= h.at_ns
    AND a.stop_ns >= least(h.hold_started_ns, h.held_ns);

-- Where a consumer ended while it held the message, before that came again, and told nothing more.
CREATE VIEW deserted AS
SELECT h.*, coalesce(h.exit_code < 0, b.line IS NOT NULL) AS killed, b.instance AS killed_by
FROM returned h
LEFT JOIN (SELECT line, min(instance) AS instance, min(start_ns) AS start_ns, max(stop_ns) AS stop_ns
           FROM beset WHERE ends_a_process(fault) GROUP BY line) b ON b.line = h.line
WHERE NOT h.delete_answered
  AND coalesce(h.exit_ns, b.start_ns) BETWEEN h.held_ns - clock_error()
      AND CASE h.kind WHEN 'queue' THEN least(h.latest_ns, h.at_ns + clock_error()) ELSE h.at_ns END
  AND h.heard_ns <= coalesce(h.exit_ns, b.stop_ns) + clock_error();

-- On a stream, how far its partition was checkpointed when it came back: for certain (`covered`), and perhaps.
CREATE TABLE places_reached AS
SELECT h.line, coalesce(max(c.reached) FILTER (c.sure) >= any_value(h.number), false) AS covered,
       coalesce(max(c.reached) FILTER (NOT c.sure) >= any_value(h.number), false) AS perhaps
FROM (SELECT h.line, h.s, h.part, h.number, h.at_ns, v.sure
      FROM holds h, (VALUES (true), (false)) v(sure)
      WHERE h.kind = 'stream' AND h.part IS NOT NULL AND h.number IS NOT NULL) h
ASOF JOIN checkpointed c ON c.s = h.s AND c.part = h.part AND c.sure = h.sure AND c.at_ns <= h.at_ns
GROUP BY h.line;
