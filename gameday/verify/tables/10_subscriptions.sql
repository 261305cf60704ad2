-- The subscriptions: those of the manifest, and those that only the history knows (nothing is promised on them).
-- Durations are in nanoseconds from here on.

CREATE MACRO ns(seconds) AS TRY_CAST(seconds * 1000000000 AS BIGINT);

-- Time 1 is proven to be before time 2; `file` tells the writer, whose own clock has no error.
CREATE MACRO before(t1, file1, t2, file2) AS
    CASE WHEN file1 = file2 THEN t1 < t2 ELSE t1 + clock_error() < t2 END;

-- The same for two records: within one file the order of the lines decides, equal times or not.
CREATE MACRO record_before(t1, file1, line1, t2, file2, line2) AS
    CASE WHEN file1 = file2 THEN line1 < line2 ELSE t1 + clock_error() < t2 END;

-- A broker's sequence number, decimal and of any length, as a text that sorts as the integer does; NULL if it is none.
CREATE MACRO sequence_key(digits) AS
    CASE WHEN regexp_full_match(digits, '[0-9]+')
         THEN lpad(length(ltrim(digits, '0'))::VARCHAR, 5, '0') || ltrim(digits, '0') END;

CREATE TABLE subs AS
SELECT run, s, kind, ordered_by, ns(visibility_s) AS visibility_ns, max_receives, dead_letter,
       ns(dedup_window_s) AS dedup_window_ns, dedup_window_s IS NOT NULL AS deduplicates,
       filtered, coalesce(ns(settle_s), 0) AS settle_ns, effective_from_ns, at_most_once, effects_elsewhere, seen_from, by_service, all_invoked, step, per_item, retried, followed_by,
       -- The service may give up what it could not get done.
       by_service AND (kind = 'stream' OR visibility_s IS NULL) AS gives_up, true AS declared, deployed_otherwise
FROM declared
UNION ALL
SELECT run, s, 'queue', NULL, NULL, NULL, false, NULL, false, false, 0, NULL, false, false, 'consumer', false, false, NULL, false, false, [], false, false, false
FROM (
    SELECT DISTINCT run, s FROM raw WHERE event IN ('received', 'invoked', 'dead', 'redriven', 'effect', 'effects', 'step', 'steps', 'answering', 'answered') AND s IS NOT NULL
    UNION
    SELECT DISTINCT run, unnest(expect) FROM raw WHERE event = 'intended'
)
WHERE s IS NOT NULL AND s NOT IN (SELECT s FROM declared);

-- The queues that others use, too: who sends to them may also take from them, and record nothing of it.
CREATE TABLE shared AS
SELECT DISTINCT u.run, u.s FROM raw r JOIN subs u ON u.s = r.s
WHERE r.event = 'mark' AND r.name = 'foreign' AND u.kind = 'queue';

-- Each partition of a stream with each of its descendants (children, their children, …), from the `partition` marks.
CREATE TABLE descendants AS
WITH RECURSIVE born AS (
    SELECT DISTINCT s, unnest(parents) AS ancestor, part AS descendant
    FROM raw WHERE event = 'mark' AND name = 'partition'
), closure AS (
    SELECT s, ancestor, descendant FROM born
    UNION
    SELECT c.s, c.ancestor, b.descendant FROM closure c JOIN born b ON b.s = c.s AND b.ancestor = c.descendant
)
SELECT * FROM closure WHERE ancestor <> descendant;
