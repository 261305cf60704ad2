-- How many messages' lives each fault touched.

CREATE TABLE lives AS
WITH touched AS (
    SELECT id, max(at_ns) AS last_ns FROM raw
    WHERE event IN ('sent', 'received', 'effect', 'settled') AND id IS NOT NULL GROUP BY id
)
SELECT m.run, m.id, coalesce(m.due_ns, m.intended_ns) AS from_ns,
       greatest(coalesce(t.last_ns, m.due_ns, m.intended_ns), coalesce(m.due_ns, m.intended_ns)) AS to_ns
FROM messages m LEFT JOIN touched t ON t.id = m.id
WHERE m.intended_ns IS NOT NULL;

CREATE TABLE struck AS
SELECT w.run, w.fault, w.instance, count(l.id) FILTER (l.to_ns - clock_error() >= w.start_ns) AS touched
FROM windows w LEFT JOIN lives l ON l.run = w.run AND l.from_ns + clock_error() <= w.stop_ns
GROUP BY w.run, w.fault, w.instance;
