-- "a before b", the order that messages of one group must keep, without ever joining a group with itself.
--
-- For a pair on one subscription the order is told by the broker's numbers under which both were received (rule 1);
-- where one of the two has none, by the numbers in the answers to their sends (rule 2); where one has none of those
-- either, by one producer's `seq`, if a's last attempt had ended before b's first began or both went in one call
-- (rule 3). A number or an end proves nothing where another attempt may have landed: in rule 2 b must not be unsure of
-- its number, in rule 3 a must be acked to have been there when it ended. On a stream only within a partition, and an
-- ancestor's records come before a descendant's.
--
-- Most groups need none of that, and are left out of it: `placed` has every message with its place by rule 1, and of each
-- whether it was received, and applied, no earlier than those before it. Where that is so of all of a group, nothing came
-- too late in it. Lines decide within a file, so it is not asked where a file's times go back, nor where clocks differ.
--
-- `moments` has, for each question (`asks`), each message once for each writer that matters: the moment (`ns`, `line`,
-- `file`) that it offers to those before it, or NULL, and in `asks_file` that it asks for those after it.
-- `followers` leaves out messages in doubt, on either side, and gives, for each that asks, the smallest moment that a message after it offers: `any_ns` over all of them,
-- `same_ns` and `same_line` over those in the asking file. Each rule is a sort and a running
-- minimum. `preceded` has those that ask and have a message before them: what an order claim has looked at.

CREATE TABLE placed AS
WITH going_back AS (
    SELECT bool_or(goes_back) AS any_file
    FROM (SELECT at_ns < lag(at_ns) OVER (PARTITION BY file ORDER BY line) AS goes_back FROM rx)
), by_number AS (
    SELECT s, id, grp, applied, stored, dead, first, lag(first) OVER earlier AS first_before,
           lag(stored) OVER earlier AS stored_before,
           first_value(stored.number) OVER earlier AS smallest,
           applied > 0 OR effects.applied > 0 AS has_effect,
           effects.first_applied.at_ns AS applied_ns, least(effects.first_began, effects.first_unhandled).at_ns AS handled_ns,
           max(effects.first_applied.at_ns) OVER (PARTITION BY s, grp ORDER BY stored.number
                                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS applied_before_ns
    FROM pairs
    WHERE ordered_by IS NOT NULL AND grp IS NOT NULL AND (received OR expected OR applied > 0 OR effects.applied > 0)
    WINDOW earlier AS (PARTITION BY s, grp ORDER BY stored.number)
)
SELECT p.s, p.id, p.grp, p.applied > 0 AS stands, p.stored.number > p.smallest AS later,
       coalesce(
           clock_error() = 0 AND NOT coalesce(g.any_file, false) AND m.id IS NULL AND NOT coalesce(p.dead, false)
           AND p.stored.number IS NOT NULL
           AND (p.stored_before IS NULL
                OR (p.stored_before.part IS NOT DISTINCT FROM p.stored.part
                    AND (p.first_before.at_ns < p.first.at_ns
                         OR (p.first_before.at_ns = p.first.at_ns AND p.first_before.file = p.first.file
                             AND p.first_before.line < p.first.line))))
           AND (NOT p.has_effect
                OR (p.applied_ns IS NOT NULL AND coalesce(p.handled_ns <= p.applied_ns, true)
                    AND coalesce(p.applied_before_ns <= p.applied_ns, true))), false) AS in_order
FROM by_number p CROSS JOIN going_back g LEFT JOIN missing m ON m.s = p.s AND m.id = p.id;

CREATE TABLE disordered AS SELECT s, grp FROM placed GROUP BY s, grp HAVING NOT bool_and(in_order);

CREATE TABLE moments AS
WITH ordered AS (
    SELECT s, id, grp, kind, acked, sent, stored,
           first, last, received, expected, dead, surely_dead, dead_letter, looked_ns, applied, effects,
           least(effects.first_began, effects.first_unhandled).file AS handling_file
    FROM pairs SEMI JOIN disordered USING (s, grp)
), gaps AS (
    SELECT DISTINCT s, grp FROM ordered SEMI JOIN missing USING (s, id)
), dying AS (
    SELECT DISTINCT s, grp FROM ordered WHERE dead
)
-- Who was received first, of all that were or should have been.
SELECT 'received' AS asks, s, id, grp, kind, acked, sent, stored,
       first.at_ns AS ns, first.line AS line, first.file AS file, first.file AS asks_file
FROM ordered WHERE received OR expected
UNION ALL
-- Whose effect was applied first. One that the store alone knows of, for its consumer died before writing that down,
-- offers no moment.
SELECT 'applied', s, id, grp, kind, acked, sent, stored,
       effects.first_applied.at_ns, effects.first_applied.line, effects.first_applied.file, handling_file
FROM ordered WHERE applied > 0 OR effects.applied > 0
UNION ALL
-- Who was received last, in each file, before those of its group that died. Times are turned round, so that "the
-- smallest after it" is the last.
SELECT 'received last', p.s, p.id, p.grp, p.kind, p.acked, p.sent, p.stored,
       -l.at_ns, -l.line, l.file, CASE WHEN p.surely_dead AND l.file = p.last.file THEN l.file END
FROM ordered p
JOIN (SELECT s, id, file, max(at_ns) AS at_ns, max(line) AS line FROM rx GROUP BY s, id, file) l
    ON l.s = p.s AND l.id = p.id
SEMI JOIN dying d ON d.s = p.s AND d.grp = p.grp
UNION ALL
-- Whether anything that was received stands after a message that is missing; where there are dead letters it proves
-- something only when they were looked at later: until then the missing one may be among them.
SELECT 'missing', p.s, p.id, p.grp, p.kind, p.acked, p.sent, p.stored,
       CASE WHEN p.received AND (NOT p.dead_letter OR p.kind = 'stream'
                                 OR coalesce(p.first.at_ns + clock_error() < p.looked_ns, false)) THEN 0 END AS ns,
       CASE WHEN ns = 0 THEN p.first.line END, 0, CASE WHEN m.id IS NOT NULL THEN 0 END
FROM ordered p
SEMI JOIN gaps g ON g.s = p.s AND g.grp = p.grp
LEFT JOIN missing m ON m.s = p.s AND m.id = p.id
UNION ALL
-- Whose effect stands, for what an order claim has looked at: any message may stand before them.
SELECT 'stands', s, id, grp, kind, acked, sent, stored, 0, 0, 0, CASE WHEN applied > 0 THEN 0 END
FROM ordered WHERE received OR expected;

-- What is offered besides where clocks differ: the first receive, and the first effect, in each file that has not the
-- very first one. Whatever the clocks show, it stands before what comes after it in its own file.
CREATE TABLE moments_elsewhere AS
SELECT 'received' AS asks, p.s, p.id, p.grp, p.kind, p.acked, p.sent, p.stored, x.at_ns AS ns, x.line, x.file,
       NULL::INTEGER AS asks_file
FROM pairs p SEMI JOIN disordered d ON d.s = p.s AND d.grp = p.grp
JOIN (SELECT s, id, file, arg_min(at_ns, line) AS at_ns, min(line) AS line FROM rx WHERE clock_error() > 0
      GROUP BY s, id, file) x ON x.s = p.s AND x.id = p.id AND x.file <> p.first.file
UNION ALL
SELECT 'applied', p.s, p.id, p.grp, p.kind, p.acked, p.sent, p.stored, x.at_ns, x.line, x.file, NULL
FROM pairs p SEMI JOIN disordered d ON d.s = p.s AND d.grp = p.grp
JOIN (SELECT s, id, file, arg_min(at_ns, line) AS at_ns, min(line) AS line FROM effect_records
      WHERE outcome = 'applied' AND clock_error() > 0
      GROUP BY s, id, file) x ON x.s = p.s AND x.id = p.id AND x.file <> p.effects.first_applied.file;

-- All that is offered to those before it.
CREATE VIEW offered AS SELECT * FROM moments UNION ALL SELECT * FROM moments_elsewhere;

CREATE TABLE followers AS
WITH base AS MATERIALIZED (
    SELECT * FROM offered m ANTI JOIN (SELECT s, id FROM pairs WHERE in_doubt) d ON d.s = m.s AND d.id = m.id
    WHERE asks <> 'stands'
), every AS MATERIALIZED (
    -- Each row once for the file that it asks about, and once more where what it offers stands in another file.
    SELECT * REPLACE (CASE WHEN asks_file IS NULL OR file = asks_file THEN ns END AS ns,
                      CASE WHEN asks_file IS NULL OR file = asks_file THEN line END AS line,
                      coalesce(asks_file, file) AS file)
    FROM base
    UNION ALL
    SELECT * REPLACE (NULL AS asks_file) FROM base WHERE asks_file IS NOT NULL AND file <> asks_file
), lacking AS (
    SELECT asks, s, grp, bool_or(sent.number IS NULL) AS rule_3
    FROM base GROUP BY asks, s, grp HAVING bool_or(stored.number IS NULL)
), rule_1 AS (
    SELECT asks, s, id, asks_file, min(ns) OVER later AS any_ns,
           min(ns) OVER later_here AS same_ns, min(line) OVER later_here AS same_line
    FROM every WHERE stored.number IS NOT NULL
    WINDOW later AS (PARTITION BY asks, s, grp, stored.part ORDER BY stored.number
                     GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING),
           later_here AS (PARTITION BY asks, s, grp, stored.part, file ORDER BY stored.number
                          GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
), rule_2 AS (
    SELECT asks, s, id, asks_file,
           CASE WHEN stored.number IS NULL THEN min(ns) FILTER (NOT sent.unsure) OVER later
                ELSE min(ns) FILTER (NOT sent.unsure AND stored.number IS NULL) OVER later END AS any_ns,
           CASE WHEN stored.number IS NULL THEN min(ns) FILTER (NOT sent.unsure) OVER later_here
                ELSE min(ns) FILTER (NOT sent.unsure AND stored.number IS NULL) OVER later_here END AS same_ns,
           CASE WHEN stored.number IS NULL THEN min(line) FILTER (NOT sent.unsure) OVER later_here
                ELSE min(line) FILTER (NOT sent.unsure AND stored.number IS NULL) OVER later_here END AS same_line
    FROM every SEMI JOIN lacking ON lacking.asks = every.asks AND lacking.s = every.s AND lacking.grp = every.grp
    WHERE sent.number IS NOT NULL
    WINDOW later AS (PARTITION BY asks, s, grp, CASE kind WHEN 'stream' THEN sent.part END ORDER BY sent.number
                     GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING),
           later_here AS (PARTITION BY asks, s, grp, CASE kind WHEN 'stream' THEN sent.part END, file ORDER BY sent.number
                          GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
), unnumbered AS MATERIALIZED (
    SELECT e.asks, e.s, e.id, e.grp, e.kind, e.acked, e.asks_file, e.ns, e.line, e.file, e.sent.producer, e.sent.seq, e.sent.began,
           e.sent.ended, e.sent.one_call, e.sent.first_entry, e.sent.last_entry, e.stored.number IS NOT NULL AS has_1,
           e.sent.number IS NOT NULL AS has_2, e.stored.only_part AS lineage
    FROM every e SEMI JOIN (SELECT * FROM lacking WHERE rule_3) l ON l.asks = e.asks AND l.s = e.s AND l.grp = e.grp
    WHERE e.sent.producer IS NOT NULL AND e.sent.seq IS NOT NULL AND e.stored.only_part IS NOT NULL
), in_lineage AS MATERIALIZED (
    -- Each in the lineage of its partition and, as one that may follow, in that of each ancestor.
    SELECT * FROM unnumbered
    UNION ALL
    SELECT e.* REPLACE (NULL AS asks_file, d.ancestor AS lineage)
    FROM unnumbered e JOIN descendants d ON d.s = e.s AND d.descendant = e.lineage
    WHERE e.kind = 'stream' AND e.ns IS NOT NULL
), crooked AS (
    -- Producers that did not send in the order of `seq`: only there does "began later" not mean "seq is higher".
    SELECT DISTINCT asks, s, grp, producer, lineage
    FROM (SELECT asks, s, grp, producer, lineage, began,
                 max(began) OVER (PARTITION BY asks, s, grp, producer, lineage ORDER BY seq
                                     GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_ns
          FROM in_lineage)
    WHERE began <= before_ns
), straight AS (
    SELECT * FROM in_lineage ANTI JOIN crooked USING (asks, s, grp, producer, lineage)
), ends AS (
    SELECT * REPLACE (NULL AS asks_file), began AS moment FROM straight WHERE ns IS NOT NULL
    UNION ALL
    SELECT * REPLACE (NULL AS ns, NULL AS line), ended FROM straight
    WHERE asks_file IS NOT NULL AND ended IS NOT NULL AND acked
), rule_3 AS (
    SELECT asks, s, id, asks_file,
           CASE WHEN has_1 AND has_2 THEN min(ns) FILTER (NOT has_1 AND NOT has_2) OVER later
                WHEN has_1 THEN min(ns) FILTER (NOT has_1) OVER later
                WHEN has_2 THEN min(ns) FILTER (NOT has_2) OVER later
                ELSE min(ns) OVER later END AS any_ns,
           CASE WHEN has_1 AND has_2 THEN min(ns) FILTER (NOT has_1 AND NOT has_2) OVER later_here
                WHEN has_1 THEN min(ns) FILTER (NOT has_1) OVER later_here
                WHEN has_2 THEN min(ns) FILTER (NOT has_2) OVER later_here
                ELSE min(ns) OVER later_here END AS same_ns,
           CASE WHEN has_1 AND has_2 THEN min(line) FILTER (NOT has_1 AND NOT has_2) OVER later_here
                WHEN has_1 THEN min(line) FILTER (NOT has_1) OVER later_here
                WHEN has_2 THEN min(line) FILTER (NOT has_2) OVER later_here
                ELSE min(line) OVER later_here END AS same_line
    FROM ends
    WINDOW later AS (PARTITION BY asks, s, grp, producer, lineage ORDER BY moment
                     GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING),
           later_here AS (PARTITION BY asks, s, grp, producer, lineage, file ORDER BY moment
                          GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
), rule_3_pairs AS (
    -- The few pairs that a running minimum does not see: of crooked producers, and of one call.
    SELECT a.asks, a.s, a.id, a.asks_file, b.ns AS any_ns,
           CASE WHEN b.file = a.asks_file THEN b.ns END AS same_ns,
           CASE WHEN b.file = a.asks_file THEN b.line END AS same_line
    FROM unnumbered a
    JOIN in_lineage b ON b.asks = a.asks AND b.s = a.s AND b.grp = a.grp AND b.producer = a.producer AND b.lineage = a.lineage
                      AND a.seq < b.seq
    SEMI JOIN crooked c ON c.asks = a.asks AND c.s = a.s AND c.grp = a.grp AND c.producer = a.producer AND c.lineage = a.lineage
    WHERE a.asks_file IS NOT NULL AND b.ns IS NOT NULL AND a.ended < b.began AND a.acked
      AND NOT (a.has_1 AND b.has_1) AND NOT (a.has_2 AND b.has_2)
    UNION ALL
    SELECT a.asks, a.s, a.id, a.asks_file, b.ns,
           CASE WHEN b.file = a.asks_file THEN b.ns END, CASE WHEN b.file = a.asks_file THEN b.line END
    FROM unnumbered a
    JOIN unnumbered b ON b.asks = a.asks AND b.s = a.s AND b.one_call = a.one_call AND b.grp = a.grp AND b.producer = a.producer
                         AND a.seq < b.seq
                         -- Entries that contradict `seq` say that the producer itself put b first.
                         AND coalesce(a.last_entry < b.first_entry, true)
    WHERE a.asks_file IS NOT NULL AND b.ns IS NOT NULL AND a.kind = 'queue'
      AND NOT (a.has_1 AND b.has_1) AND NOT (a.has_2 AND b.has_2)
), lineage_1 AS (
    -- What the descendants of a partition offer: by the partition received from (rule 1), by that sent to (rule 2).
    SELECT e.asks, d.s, e.grp, d.ancestor, e.file, min(e.ns) AS ns, min(e.line) AS line
    FROM descendants d JOIN every e ON e.s = d.s AND e.stored.part = d.descendant
    WHERE e.ns IS NOT NULL AND e.stored.number IS NOT NULL
    GROUP BY ALL
), lineage_2 AS (
    SELECT e.asks, d.s, e.grp, d.ancestor, e.file, e.stored.number IS NOT NULL AS has_1, min(e.ns) AS ns, min(e.line) AS line
    FROM descendants d JOIN every e ON e.s = d.s AND e.sent.part = d.descendant
    WHERE e.ns IS NOT NULL AND e.sent.number IS NOT NULL AND NOT e.sent.unsure AND e.kind = 'stream'
    GROUP BY ALL
), ancestors AS (
    SELECT a.asks, a.s, a.id, a.asks_file, l.ns AS any_ns,
           CASE WHEN l.file = a.asks_file THEN l.ns END AS same_ns,
           CASE WHEN l.file = a.asks_file THEN l.line END AS same_line
    FROM base a JOIN lineage_1 l ON l.asks = a.asks AND l.s = a.s AND l.grp = a.grp AND l.ancestor = a.stored.part
    WHERE a.asks_file IS NOT NULL AND a.kind = 'stream' AND a.stored.number IS NOT NULL
    UNION ALL
    SELECT a.asks, a.s, a.id, a.asks_file, l.ns,
           CASE WHEN l.file = a.asks_file THEN l.ns END, CASE WHEN l.file = a.asks_file THEN l.line END
    FROM base a JOIN lineage_2 l ON l.asks = a.asks AND l.s = a.s AND l.grp = a.grp AND l.ancestor = a.sent.part
    WHERE a.asks_file IS NOT NULL AND a.kind = 'stream' AND a.sent.number IS NOT NULL
      AND NOT (a.stored.number IS NOT NULL AND l.has_1)
)
SELECT asks, s, id, min(any_ns) AS any_ns, min(same_ns) AS same_ns, min(same_line) AS same_line
FROM (
    SELECT * FROM rule_1 UNION ALL SELECT * FROM rule_2 UNION ALL SELECT * FROM rule_3
    UNION ALL SELECT * FROM rule_3_pairs UNION ALL SELECT * FROM ancestors
)
WHERE asks_file IS NOT NULL AND any_ns IS NOT NULL
GROUP BY asks, s, id;

CREATE TABLE preceded AS
WITH base AS MATERIALIZED (
    SELECT *, stored.number IS NOT NULL AS has_1, sent.number IS NOT NULL AS has_2
    FROM moments WHERE asks IN ('received', 'stands')
), lacking AS (
    SELECT asks, s, grp FROM base GROUP BY asks, s, grp HAVING bool_or(stored.number IS NULL)
), rule_1 AS (
    SELECT asks, s, id, stored.number > min(stored.number) OVER (PARTITION BY asks, s, grp, stored.part) AS later FROM base WHERE has_1
), rule_2 AS (
    SELECT asks, s, id,
           NOT sent.unsure AND sent.number > CASE WHEN has_1 THEN min(sent.number) FILTER (NOT has_1) OVER here
                              ELSE min(sent.number) OVER here END AS later
    FROM base SEMI JOIN lacking ON lacking.asks = base.asks AND lacking.s = base.s AND lacking.grp = base.grp
    WHERE has_2
    WINDOW here AS (PARTITION BY asks, s, grp, CASE kind WHEN 'stream' THEN sent.part END)
), in_lineage AS (
    -- Each in the lineage of its partition and, as one that may stand before, in that of each descendant.
    SELECT b.*, stored.only_part AS lineage, true AS asking
    FROM base b SEMI JOIN lacking ON lacking.asks = b.asks AND lacking.s = b.s AND lacking.grp = b.grp
    WHERE sent.producer IS NOT NULL AND sent.seq IS NOT NULL AND stored.only_part IS NOT NULL
    UNION ALL
    SELECT b.*, d.descendant, false
    FROM base b SEMI JOIN lacking ON lacking.asks = b.asks AND lacking.s = b.s AND lacking.grp = b.grp
    JOIN descendants d ON d.s = b.s AND d.ancestor = b.stored.only_part
    WHERE sent.producer IS NOT NULL AND sent.seq IS NOT NULL AND kind = 'stream'
), rule_3 AS (
    SELECT asks, s, id, asking AND (
           sent.began > CASE WHEN has_1 AND has_2 THEN min(sent.ended) FILTER (acked AND NOT has_1 AND NOT has_2) OVER earlier
                           WHEN has_1 THEN min(sent.ended) FILTER (acked AND NOT has_1) OVER earlier
                           WHEN has_2 THEN min(sent.ended) FILTER (acked AND NOT has_2) OVER earlier
                           ELSE min(sent.ended) FILTER (acked) OVER earlier END
           OR (kind = 'queue' AND sent.one_call IS NOT NULL AND sent.seq >
               CASE WHEN has_1 AND has_2 THEN min(sent.seq) FILTER (NOT has_1 AND NOT has_2) OVER in_call
                    WHEN has_1 THEN min(sent.seq) FILTER (NOT has_1) OVER in_call
                    WHEN has_2 THEN min(sent.seq) FILTER (NOT has_2) OVER in_call
                    ELSE min(sent.seq) OVER in_call END)) AS later
    FROM in_lineage
    WINDOW earlier AS (PARTITION BY asks, s, grp, sent.producer, lineage ORDER BY sent.seq
                       GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
           in_call AS (PARTITION BY asks, s, grp, sent.producer, sent.one_call ORDER BY coalesce(sent.first_entry, sent.seq)
                       GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), ancestors AS (
    SELECT DISTINCT b.asks, b.s, b.id, true AS later
    FROM base b
    JOIN descendants d ON d.s = b.s AND d.descendant = b.stored.part
    JOIN (SELECT DISTINCT asks, s, grp, stored.part AS part FROM base WHERE has_1) a ON a.asks = b.asks AND a.s = b.s AND a.grp = b.grp AND a.part = d.ancestor
    WHERE b.has_1 AND b.kind = 'stream'
    UNION
    SELECT DISTINCT b.asks, b.s, b.id, true
    FROM base b
    JOIN descendants d ON d.s = b.s AND d.descendant = b.sent.part
    JOIN (SELECT DISTINCT asks, s, grp, sent.part AS part, has_1 FROM base WHERE has_2) a
      ON a.asks = b.asks AND a.s = b.s AND a.grp = b.grp AND a.part = d.ancestor
    WHERE b.has_2 AND NOT b.sent.unsure AND b.kind = 'stream' AND NOT (a.has_1 AND b.has_1)
)
SELECT DISTINCT asks, s, id
FROM (SELECT * FROM rule_1 UNION ALL SELECT * FROM rule_2 UNION ALL SELECT * FROM rule_3
      UNION ALL SELECT * FROM ancestors)
WHERE later AND (asks, s, id) IN (SELECT (asks, s, id) FROM base WHERE asks_file IS NOT NULL)
UNION ALL
SELECT 'received', s, id FROM placed ANTI JOIN disordered USING (s, grp) WHERE later
UNION ALL
SELECT 'stands', s, id FROM placed ANTI JOIN disordered USING (s, grp) WHERE later AND stands;

-- Those whose moment lies so near to that of another of their group, in another file, that the clocks' error leaves
-- their order open. Neighbours are enough: between two of different files some neighbours are of different files.
CREATE TABLE too_close AS
SELECT asks, s, id
FROM (SELECT asks, s, id, ns, file, lag(ns) OVER near AS before_ns, lag(file) OVER near AS before_file
      FROM moments WHERE asks IN ('received', 'applied') AND ns IS NOT NULL AND clock_error() > 0
      WINDOW near AS (PARTITION BY asks, s, grp ORDER BY ns, file, line))
WHERE before_file <> file AND ns - before_ns <= clock_error();

-- Whom a message of `rows` (s, id, any_ns, same_line: what `followers` says of it) suffered from: of those of its group
-- with that moment, or in that line, the first that is not known to stand before it.
CREATE MACRO overtaker(rows, what) AS TABLE
SELECT l.s, l.id, arg_min(b.id, (b.ns, b.line)) AS other
FROM query_table(rows) l
JOIN (SELECT DISTINCT s, id, grp, sent, stored FROM moments WHERE asks = what) a ON a.s = l.s AND a.id = l.id
JOIN offered b ON b.asks = what AND b.s = l.s AND b.grp = a.grp AND b.id <> l.id
              AND (b.ns = l.any_ns OR b.line = l.same_line)
WHERE CASE WHEN a.stored.number IS NOT NULL AND b.stored.number IS NOT NULL AND a.stored.part = b.stored.part
           THEN a.stored.number < b.stored.number
           WHEN a.sent.producer = b.sent.producer THEN a.sent.seq < b.sent.seq ELSE true END
GROUP BY l.s, l.id;

-- Proven by a later message of its group that was received. A redrive puts a message behind those that came after it, so
-- then its group proves nothing.
UPDATE missing SET proven = true
FROM followers f JOIN pairs p ON p.s = f.s AND p.id = f.id
WHERE f.asks = 'missing' AND f.s = missing.s AND f.id = missing.id AND missing.provable AND p.first_redrive IS NULL;
