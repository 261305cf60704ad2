-- Receives of what an invocation of another batch had reported done before. `other_line`: of a receive that was reported done.

CREATE TABLE reruns AS
WITH told AS (
    SELECT r.line, h.line AS other_line
    FROM rx r
    JOIN handlings h ON h.s = r.s AND h.id = r.id AND h.done AND h.batch IS DISTINCT FROM r.batch
        AND (h.copy = '' OR r.copy = '' OR h.copy = r.copy)
    JOIN answers_given a ON a.s = h.s AND a.batch = h.batch
    GROUP BY r.line, h.line, r.at_ns, r.file
    HAVING bool_and(record_before(a.at_ns, a.file, a.line, r.at_ns, r.file, r.line))
)
SELECT r.s, r.id, r.line, min(t.other_line) AS other_line
FROM told t JOIN rx r ON r.line = t.line
GROUP BY r.s, r.id, r.line;
