-- Receives that overtook another message of their group which was still queued.

-- Groups in which anything may have: a call of its own brought one while another was not yet deleted, or not for the last
-- time received. One that came again, after it had come alone, was compared when it came first. In a queue that keeps its
-- locks there is no such group, and all that follows has nothing to do.
CREATE TABLE crossed AS
SELECT DISTINCT s, grp
FROM (
    SELECT x.s, p.grp, x.at_ns,
           coalesce(x.batch = lag(x.batch) OVER arrived, false) AS with_it,
           x.id = lag(x.id) OVER arrived
               AND NOT coalesce(lag(x.batch) OVER arrived = lag(x.batch, 2) OVER arrived, false) AS itself,
           max(coalesce(p.first_delete.at_ns, p.last.at_ns))
               OVER (PARTITION BY x.s, p.grp ORDER BY x.at_ns, x.file, x.line
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS open_until_ns
    FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id
    WHERE p.kind = 'queue' AND p.ordered_by = 'group' AND p.grp IS NOT NULL
    WINDOW arrived AS (PARTITION BY x.s, p.grp ORDER BY x.at_ns, x.file, x.line)
)
WHERE NOT with_it AND NOT coalesce(itself, false) AND at_ns <= open_until_ns;

-- While was a message proven to be queued? From its first receive until its first delete may have begun: if it was
-- deleted, all that time; else as far as a call that received the same copy again.
CREATE TABLE queued AS
WITH elsewhere AS (
    -- Another writer's delete may by its clock have been the first.
    SELECT d.s, d.id, min({'at_ns': d.began_ns, 'file': d.file}) AS first_delete
    FROM possible_deletes d JOIN pairs p ON p.s = d.s AND p.id = d.id AND d.file <> p.first_delete.file
    WHERE clock_error() > 0
    GROUP BY d.s, d.id
), heard AS (
    -- Each writer's first receive of a copy: what follows it in that writer's own file is later for certain.
    SELECT s, id, copy, file, min({'at_ns': at_ns, 'line': line}) AS first FROM rx GROUP BY s, id, copy, file
), called AS (
    -- Each writer's last call that received a copy again: what precedes it in that writer's own file was before it.
    -- Where a service settles, what counts is the order of invocations.
    SELECT r.s, r.id, r.copy, r.file, max(CASE WHEN u.by_service THEN r.at_ns ELSE r.started_ns END) AS last_ns
    FROM repeated r JOIN pairs p ON p.s = r.s AND p.id = r.id JOIN subs u ON u.s = r.s
    WHERE (u.by_service AND NOT p.ever_dead AND p.first_redrive IS NULL OR NOT u.by_service AND r.started_ns IS NOT NULL)
      AND (p.first_redrive IS NULL OR record_before(r.at_ns, r.file, r.line, p.first_redrive.at_ns, p.first_redrive.file,
                                                    p.first_redrive.line))
    GROUP BY r.s, r.id, r.copy, r.file
), waited AS (
    SELECT p.s, p.id, p.first_delete, NULL AS copy_number, p.dead_letter AS needs_look, p.looked_ns,
           h.first.at_ns AS from_ns, h.file AS from_file, h.first.line AS from_line,
           p.first_delete.at_ns AS until_ns, p.first_delete.file AS until_file
    FROM pairs p
    SEMI JOIN crossed c ON c.s = p.s AND c.grp = p.grp
    JOIN heard h ON h.s = p.s AND h.id = p.id AND (clock_error() > 0 OR h.file = p.first.file)
    WHERE p.received AND p.deleted AND NOT p.ever_dead
      AND p.first_redrive IS NULL
    UNION ALL
    SELECT p.s, p.id, p.first_delete, r.number, u.by_service AND p.dead_letter, p.looked_ns,
           h.first.at_ns, h.file, h.first.line, c.last_ns, c.file
    FROM (SELECT s, id, copy, max(number) AS number, min({'at_ns': at_ns, 'file': file, 'line': line}) AS first
          FROM repeated GROUP BY s, id, copy) r
    JOIN pairs p ON p.s = r.s AND p.id = r.id
    JOIN heard h ON h.s = r.s AND h.id = r.id AND h.copy = r.copy AND (clock_error() > 0 OR h.file = r.first.file)
    JOIN called c ON c.s = r.s AND c.id = r.id AND c.copy = r.copy
    JOIN subs u ON u.s = r.s
    SEMI JOIN crossed ON crossed.s = p.s AND crossed.grp = p.grp
)
SELECT w.*, p.acked, p.grp, p.sent, p.stored,
       least(w.until_ns, w.first_delete.at_ns) AS bound_ns, e.first_delete AS delete_elsewhere
FROM waited w JOIN pairs p ON p.s = w.s AND p.id = w.id
LEFT JOIN elsewhere e ON e.s = w.s AND e.id = w.id
WHERE NOT p.in_doubt AND w.from_ns < least(w.until_ns, w.first_delete.at_ns);

-- Receives with a place among the receives of their group, so that an interval of time is a range of places.
CREATE TABLE places AS
SELECT x.s, p.grp, x.id, x.line, x.file, x.at_ns, x.batch, x.number AS copy_number, p.sent, p.stored,
       row_number() OVER (PARTITION BY x.s, p.grp ORDER BY x.at_ns, x.file, x.line) AS place
FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id AND NOT p.in_doubt
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

CREATE TABLE overtakes (s VARCHAR, id VARCHAR, line BIGINT, unread BOOLEAN, other VARCHAR);

-- The overtakes among the places of the spans from one running count to another.
CREATE MACRO overtakes_between(above, upto) AS TABLE
WITH reached AS (
    SELECT q.*, unnest(generate_series(q.from_place, q.to_place)) AS place
    FROM spans q WHERE q.covered > above AND q.covered <= upto
)
SELECT b.s, b.id, b.line,
       a.needs_look AND NOT coalesce(b.at_ns + clock_error() < a.looked_ns, false) AS unread, min(a.id) AS other
FROM reached a
JOIN places b ON b.s = a.s AND b.grp = a.grp AND b.place = a.place
LEFT JOIN rx mate ON mate.batch = b.batch AND mate.id = a.id AND mate.s = a.s AND mate.line < b.line
WHERE a.id <> b.id AND mate.line IS NULL
  AND record_before(a.from_ns, a.from_file, a.from_line, b.at_ns, b.file, b.line)
  AND before(b.at_ns, b.file, a.until_ns, a.until_file)
  AND (a.first_delete IS NULL OR before(b.at_ns, b.file, a.first_delete.at_ns, a.first_delete.file))
  AND (a.delete_elsewhere IS NULL OR before(b.at_ns, b.file, a.delete_elsewhere.at_ns, a.delete_elsewhere.file))
  AND CASE WHEN a.stored.number IS NOT NULL AND b.stored.number IS NOT NULL THEN a.stored.number < b.stored.number
           WHEN a.sent.number IS NOT NULL AND b.sent.number IS NOT NULL
           THEN a.sent.number < b.sent.number AND NOT b.sent.unsure
           ELSE a.sent.producer = b.sent.producer AND a.sent.seq < b.sent.seq
                AND ((a.acked AND a.sent.ended < b.sent.began)
                     OR (a.sent.one_call = b.sent.one_call AND coalesce(a.sent.last_entry < b.sent.first_entry, true))) END
  AND NOT coalesce(a.copy_number >= b.copy_number, false)
GROUP BY b.s, b.id, b.line, unread;
