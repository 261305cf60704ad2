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
