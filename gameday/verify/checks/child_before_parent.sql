-- a record first received after a record of its group in a descendant of its partition
WITH firsts AS (
    SELECT x.s, x.id, x.copy, any_value(x.part) AS part, any_value(m.grp) AS grp,
           min({'at_ns': x.at_ns, 'line': x.line, 'file': x.file}) AS first
    FROM rx x
    JOIN subs u ON u.s = x.s AND u.kind = 'stream' AND u.ordered_by IS NOT NULL
    SEMI JOIN descendants d ON d.s = x.s
    LEFT JOIN messages m ON m.id = x.id
    -- Receives that do not name their copy may be of several, in several partitions.
    WHERE x.copy <> ''
    GROUP BY x.s, x.id, x.copy
), elsewhere AS (
    -- What another writer received of it may by its clock have been the first.
    SELECT x.s, x.id, x.copy, min(x.at_ns) AS at_ns
    FROM rx x JOIN firsts f ON f.s = x.s AND f.id = x.id AND f.copy = x.copy AND x.file <> f.first.file
    WHERE clock_error() > 0 GROUP BY x.s, x.id, x.copy
), below AS (
    SELECT d.s, d.ancestor, f.grp, f.first.file AS file, min(f.first.at_ns) AS at_ns, min(f.first.line) AS line,
           arg_min(f.id, (f.first.at_ns, f.first.line)) AS id
    FROM descendants d JOIN firsts f ON f.s = d.s AND f.part = d.descendant
    WHERE f.grp IS NOT NULL
    GROUP BY d.s, d.ancestor, f.grp, f.first.file
)
SELECT f.s, f.id, 1 AS n, NULL AS note, min(b.id) AS other
FROM firsts f JOIN below b ON b.s = f.s AND b.ancestor = f.part AND b.grp = f.grp
LEFT JOIN elsewhere e ON e.s = f.s AND e.id = f.id AND e.copy = f.copy
WHERE record_before(b.at_ns, b.file, b.line, f.first.at_ns, f.first.file, f.first.line)
  AND coalesce(b.at_ns + clock_error() < e.at_ns OR b.file <> f.first.file, true)
GROUP BY f.s, f.id;
