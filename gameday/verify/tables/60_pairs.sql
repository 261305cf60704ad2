-- One row per (message, subscription) that the history speaks of: what most anomalies are counted in.
-- `first`: the earliest `received`. `first_hand`: received, and not from replays alone. `dead`: a dead letter that no
-- redrive follows. `applied`: how often the effect stands, by the store where it was read back, else by the records,
-- which tell nothing of effects that stand elsewhere; `unknown_effect`: nobody knows.
-- `surely_dead`: every redrive is proven to precede a dead letter of it (what blames asks this).
-- `had`: the earliest receive that its consumer is proven to have had, `may_have`: that it may have had (a proxy tells with a
-- `delivered`; without one, and by a consumer's own record, it is the receive).
-- `in_doubt`: records of it here may be missing, for some do not name their message (25_in_doubt.sql) or nobody recorded who
-- received it. `dead_in_doubt`: its death, too.
-- `looked_ns`: when the dead letters were last read, as far as a `drained` mark tells.
-- `sent`: its place in the order as its sends tell it (20_messages.sql). `ended`: when its last attempt had ended for
-- certain, by the clock of any file in which its producer began another.
-- `stored`: its place as its receives tell it. `number`, `part`: the smallest broker number under which it was received
-- before any redrive, and its partition. Copies in several partitions are not told apart by their numbers: there it is
-- the copy in the ancestor of all the others. `only_part`: the one partition of a stream that its receives and answers
-- name; on a queue always ''.
-- `effects`: what the records say of them, beside `applied`. `first_unhandled`: its first receive without one.

CREATE TABLE pairs AS
WITH redriven AS (
    SELECT id, s, min({'at_ns': at_ns, 'line': line, 'file': file}) AS first_redrive,
           max({'at_ns': at_ns, 'line': line, 'file': file}) AS last_redrive
    FROM redrives GROUP BY id, s
), died AS (
    SELECT d.id, d.s, coalesce(bool_or(NOT followed), false) AS dead, coalesce(bool_or(last), false) AS surely_dead
    FROM (
        SELECT d.id, d.s, d.line, coalesce(bool_or(record_before(d.at_ns, d.file, d.line, r.at_ns, r.file, r.line)),
                                           false) AS followed,
               coalesce(bool_and(record_before(r.at_ns, r.file, r.line, d.at_ns, d.file, d.line)), true) AS last
        FROM dead_letters d LEFT JOIN redrives r ON r.id = d.id AND r.s = d.s
        GROUP BY d.id, d.s, d.line
    ) d
    GROUP BY d.id, d.s
), got AS (
    SELECT x.id, x.s, count(*) AS receives, bool_or(x.replay IS NULL) AS first_hand,
           min({'at_ns': x.at_ns, 'line': x.line, 'file': x.file}) AS first,
           max({'at_ns': x.at_ns, 'line': x.line, 'file': x.file}) AS last,
           min({'at_ns': x.started_ns, 'file': x.file}) FILTER (x.started_ns IS NOT NULL) AS first_call,
           min({'number': x.number, 'part': x.part}) FILTER (
               x.number IS NOT NULL AND (r.first_redrive IS NULL
               OR record_before(x.at_ns, x.file, x.line,
                                r.first_redrive.at_ns, r.first_redrive.file, r.first_redrive.line))) AS stored,
           min(x.part) AS least_part, max(x.part) AS greatest_part,
           min(CASE WHEN o.batch IS NOT NULL THEN o.had
                    WHEN t.file IS NULL THEN {'at_ns': x.at_ns, 'file': x.file} END) AS had,
           min(CASE WHEN o.batch IS NULL OR o.perhaps THEN {'at_ns': x.at_ns, 'file': x.file} ELSE o.had END) AS may_have
    FROM rx x LEFT JOIN redriven r ON r.id = x.id AND r.s = x.s
    LEFT JOIN passed_on o ON o.s = x.s AND o.batch = x.batch
    LEFT JOIN telling t ON t.s = x.s AND t.file = x.file
    GROUP BY x.id, x.s
), scattered AS (
    SELECT x.id, x.s, x.part, min(x.number) AS number
    FROM rx x JOIN got g ON g.id = x.id AND g.s = x.s AND g.least_part <> g.greatest_part
    WHERE x.number IS NOT NULL
    GROUP BY x.id, x.s, x.part
), foremost AS (
    SELECT a.id, a.s, a.part, a.number
    FROM scattered a
    WHERE NOT EXISTS (
        SELECT 1 FROM scattered b ANTI JOIN descendants d ON d.s = b.s AND d.ancestor = a.part AND d.descendant = b.part
        WHERE b.s = a.s AND b.id = a.id AND b.part <> a.part)
), deletes AS (
    SELECT id, s, min({'at_ns': began_ns, 'file': file}) AS first_delete, bool_or(ok) AS deleted
    FROM possible_deletes GROUP BY id, s
), handled AS (
    SELECT id, s,
           count(*) FILTER (outcome = 'applied') AS applied,
           count(*) FILTER (outcome = 'failed') AS failed,
           min({'at_ns': at_ns, 'line': line, 'file': file}) FILTER (outcome = 'applied') AS first_applied,
           min({'at_ns': started_ns, 'file': file}) FILTER (outcome = 'applied') AS first_apply_began
    FROM effect_records GROUP BY id, s
), stored AS (
    SELECT id, s, arg_max(applied, line) AS applied
    FROM raw WHERE event = 'effects' AND id IS NOT NULL AND s IS NOT NULL GROUP BY id, s
), failed_too AS (
    SELECT id, s, count(*) AS n FROM failed_by_answers SEMI JOIN handlings USING (s, batch, id) GROUP BY id, s
), blamed AS (
    SELECT DISTINCT id, s FROM handlings WHERE blamed
), open AS (
    SELECT id, s, min({'at_ns': at_ns, 'file': file}) AS first_unhandled FROM unhandled GROUP BY id, s
), everyone AS (
    SELECT id, s FROM expected UNION SELECT id, s FROM got UNION SELECT id, s FROM died
    UNION SELECT id, s FROM redriven UNION SELECT id, s FROM handled UNION SELECT id, s FROM stored
)
SELECT p.id, p.s, u.run,
       m.id IS NOT NULL AND m.intended_ns IS NOT NULL AS intended,
       m.expect IS NOT NULL AS expectation_known,
       coalesce(list_contains(m.expect, p.s), false) AS expected,
       coalesce(m.status, 'unknown') AS status, coalesce(m.status = 'acked', false) AS acked,
       coalesce(m.poison, false) AS poison, m.due_ns, m.intended_ns, m.begun_ns,
       m.grp, m.tenant_class, m.first_intended.file AS intended_file,
       {'producer': m.producer, 'seq': m.seq, 'began': m.began,
        'ended': CASE WHEN w.producer IS NULL OR m.ended IS NULL THEN m.ended
                      ELSE {'ns': m.ended.ns + clock_error(), 'line': 9223372036854775807} END,
        'number': CASE WHEN u.kind IS DISTINCT FROM 'stream' OR m.number_part IS NOT NULL THEN m.number END,
        'part': m.number_part, 'unsure': coalesce(m.unsure, false),
        'one_call': m.one_call, 'first_entry': m.first_entry, 'last_entry': m.last_entry} AS sent,
       coalesce(g.receives, 0) AS receives, g.id IS NOT NULL AS received,
       coalesce(g.first_hand, false) AS first_hand,
       g.first, g.last, g.first_call, g.had, g.may_have,
       q.id IS NOT NULL OR u.seen_from = 'nobody' AS in_doubt, q.id IS NOT NULL AS dead_in_doubt,
       {'number': CASE WHEN u.kind = 'stream' AND g.least_part <> g.greatest_part THEN f.number ELSE g.stored.number END,
        'part': CASE WHEN u.kind <> 'stream' THEN ''
                     WHEN g.least_part <> g.greatest_part THEN f.part ELSE g.stored.part END,
        'only_part': CASE WHEN u.kind <> 'stream' THEN ''
                          WHEN least(g.least_part, m.number_part) = greatest(g.greatest_part, m.number_part)
                          THEN least(g.least_part, m.number_part) END} AS stored,
       coalesce(d.dead, false) AS dead, coalesce(d.surely_dead, false) AS surely_dead, d.id IS NOT NULL AS ever_dead,
       r.first_redrive, r.last_redrive,
       del.first_delete, coalesce(del.deleted, false) AS deleted,
       CASE WHEN b.s IS NOT NULL THEN coalesce(st.applied, 0) WHEN u.effects_elsewhere THEN 0
            ELSE coalesce(h.applied, 0) END AS applied,
       -- Nobody knows whose effects stand under a key that several have.
       b.s IS NOT NULL AND k.id IS NOT NULL AND st.id IS NULL AND (acked AND expected OR received OR h.id IS NOT NULL) AS shared_key,
       shared_key OR b.s IS NULL AND (u.effects_elsewhere OR o.id IS NOT NULL OR in_doubt AND (acked AND expected OR received OR h.id IS NOT NULL)) AS unknown_effect,
       {'read_back': b.s IS NOT NULL, 'applied': coalesce(h.applied, 0), 'failed': coalesce(h.failed, 0) + coalesce(ft.n, 0),
        'first_applied': h.first_applied, 'first_began': h.first_apply_began, 'first_unhandled': o.first_unhandled} AS effects,
       -- Who sees no handler does not know whether it failed; nor who sees that an invocation of several did.
       (u.seen_from <> 'consumer' OR bl.id IS NOT NULL) AND NOT (received AND h.id IS NOT NULL AND o.id IS NULL) AS cause_untold,
       u.kind, u.ordered_by, u.dead_letter, u.filtered, u.at_most_once, u.deduplicates, u.seen_from,
       z.drained, z.looked, z.looked_ns
FROM everyone p
JOIN subs u ON u.s = p.s
JOIN drains z ON z.s = p.s
LEFT JOIN messages m ON m.id = p.id
LEFT JOIN in_doubt q ON q.id = p.id AND q.s = p.s
LEFT JOIN shared_keys k ON k.id = p.id
LEFT JOIN wandering w ON w.producer = m.producer
LEFT JOIN got g ON g.id = p.id AND g.s = p.s
LEFT JOIN foremost f ON f.id = p.id AND f.s = p.s
LEFT JOIN died d ON d.id = p.id AND d.s = p.s
LEFT JOIN redriven r ON r.id = p.id AND r.s = p.s
LEFT JOIN deletes del ON del.id = p.id AND del.s = p.s
LEFT JOIN handled h ON h.id = p.id AND h.s = p.s
LEFT JOIN stored st ON st.id = p.id AND st.s = p.s
LEFT JOIN failed_too ft ON ft.id = p.id AND ft.s = p.s
LEFT JOIN blamed bl ON bl.id = p.id AND bl.s = p.s
LEFT JOIN open o ON o.id = p.id AND o.s = p.s
LEFT JOIN read_back b ON b.s = p.s;
