-- Receives that came again, and those of them that came too early.

-- Receives of a copy that was received before, with those that came too early.
-- `uncounted`: it has no count, or another batch received the copy with the same one. `line_before`: its receive before.
CREATE TABLE repeated AS
SELECT x.*, x.receives IS NULL OR min(x.batch) OVER same_count <> max(x.batch) OVER same_count AS uncounted,
       lag(x.line) OVER (PARTITION BY x.s, x.id, x.copy ORDER BY x.at_ns, x.file, x.line) AS line_before
FROM (SELECT * REPLACE (coalesce(batch, 'line ' || line) AS batch) FROM rx) x
SEMI JOIN (SELECT s, id, copy FROM rx WHERE copy <> '' GROUP BY ALL HAVING count(*) > 1) r
    ON r.s = x.s AND r.id = x.id AND r.copy = x.copy
WINDOW same_count AS (PARTITION BY x.s, x.id, x.copy, x.receives);

CREATE VIEW came_again AS
SELECT r.* FROM repeated r JOIN subs u ON u.s = r.s WHERE u.kind = 'queue' AND u.deduplicates;

-- Of whom nobody can tell whether it was sent back: it is in doubt where some `redriven` cannot be told, or others may.
CREATE VIEW perhaps_redriven AS
SELECT q.s, q.id FROM in_doubt q
SEMI JOIN (SELECT s FROM unidentified WHERE event = 'redriven' UNION SELECT s FROM shared) x ON x.s = q.s;

-- Counted receives, each with the hold that it followed: the receive that the broker counted just before it.
-- `early`: recorded before that hold had ended, and nobody had given it back; `close`: nobody can tell, for the clocks'
-- error.
CREATE TABLE followed AS
WITH held AS (
    SELECT r.line, r.at_ns, r.file, r.s, r.id, r.copy, h.file AS hold_file, h.batch AS hold_batch, h.line AS hold_line,
           earliest_end(h.ends, e.extends, h.file, r.at_ns, r.file) AS earliest_ns,
           told_end(h.ends, e.extends, h.file, r.at_ns, r.file) AS told_ns
    FROM came_again r
    JOIN came_again h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND h.receives = r.receives - 1
        AND NOT coalesce(before(r.at_ns, r.file, h.started_ns, h.file), false)
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND e.copy = h.copy
    WHERE NOT r.uncounted
)
SELECT f.s, f.id, f.line, min(f.hold_line) AS hold_line,
       bool_and(coalesce(before(f.at_ns, f.file, f.earliest_ns, f.hold_file), false)) AND count(c.line) + count(l.line) = 0 AS early,
       clock_error() > 0 AND count(c.line) + count(l.line) = 0
           AND bool_and(f.file <> f.hold_file AND coalesce(f.at_ns < f.told_ns + clock_error(), false)) AS close
FROM held f
LEFT JOIN settles c ON c.s = f.s AND c.id = f.id AND c.batch = f.hold_batch AND c.action = 'release'
    AND of_copy(c.broker_id, f.copy) AND c.may_work AND NOT before(f.at_ns, f.file, c.began_ns, c.file)
LEFT JOIN loosened l ON l.line = f.hold_line AND NOT before(f.at_ns, f.file, l.began_ns, l.file)
GROUP BY f.s, f.id, f.line;

-- `other_line`: what it should have waited for: the receive whose hold was still on, or the delete. `given_back`: the
-- service may have had no answer from the function that recorded one, and given it back.
CREATE TABLE too_early AS
WITH twice AS (
    -- A service may gather one batch from several receives.
    SELECT line, lag(line) OVER in_batch AS other_line FROM came_again ANTI JOIN (FROM subs WHERE by_service) u USING (s)
    WINDOW in_batch AS (PARTITION BY s, id, copy, batch ORDER BY line)
), hasty_uncounted AS (
    -- No count is needed where its call began after another receive was recorded: it follows that hold.
    SELECT r.line, h.line AS other_line
    FROM came_again r
    JOIN came_again h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND h.batch IS DISTINCT FROM r.batch
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND e.copy = h.copy
    WHERE r.uncounted AND before(h.at_ns, h.file, r.started_ns, r.file)
      AND before(r.at_ns, r.file,
                 earliest_end(h.ends, e.extends, h.file, r.at_ns, r.file), h.file)
      AND NOT EXISTS (SELECT 1 FROM loosened l WHERE l.line = h.line AND NOT before(r.at_ns, r.file, l.began_ns, l.file))
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
    SELECT h.s, h.id, h.copy, d.file, min({'ns': d.answered_ns, 'line': d.line}) AS answered
    FROM came_again h
    JOIN settles d ON d.s = h.s AND d.id = h.id AND d.batch = h.batch AND d.action = 'delete' AND d.ok
        AND of_copy(d.broker_id, h.copy)
    LEFT JOIN extensions e ON e.s = h.s AND e.id = h.id AND e.batch = h.batch AND e.copy = h.copy
    WHERE d.answered_ns < earliest_end(h.ends, e.extends, h.file, d.began_ns, d.file)
      AND NOT EXISTS (SELECT 1 FROM loosened l WHERE l.line = h.line AND NOT before(d.began_ns, d.file, l.began_ns, l.file))
    GROUP BY h.s, h.id, h.copy, d.file
), deleted AS (
    SELECT r.line, d.answered.line AS other_line
    FROM came_again r JOIN in_time d ON d.s = r.s AND d.id = r.id AND d.copy = r.copy
    WHERE before(d.answered.ns, d.file, r.started_ns, r.file)
), early AS (
    SELECT line, min(other_line) AS other_line
    FROM (FROM twice WHERE other_line IS NOT NULL
          UNION ALL SELECT line, hold_line FROM followed WHERE early
          UNION ALL FROM hasty_uncounted UNION ALL FROM deleted)
    GROUP BY line
)
SELECT r.*, e.other_line, u.by_service AND NOT u.all_invoked AS given_back
FROM came_again r JOIN early e ON e.line = r.line JOIN subs u ON u.s = r.s
ANTI JOIN perhaps_redriven p ON p.s = r.s AND p.id = r.id;

CREATE VIEW early_receives AS SELECT * FROM too_early WHERE NOT given_back;

-- How often a copy came again without being early, and the first time that it did.
CREATE VIEW again AS
SELECT r.s, r.id, r.copy, count(*) - 1 - count(e.line) AS n, bool_or(r.uncounted) AS uncounted,
       arg_min({'line': r.line, 'before': r.line_before}, (r.at_ns, r.line)) FILTER (r.line_before IS NOT NULL AND e.line IS NULL) AS first
FROM repeated r LEFT JOIN early_receives e ON e.line = r.line
GROUP BY r.s, r.id, r.copy;
