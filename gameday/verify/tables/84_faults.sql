-- Faults, each with its window, and the reasons for which a run proves nothing. `unproven`: nobody saw it strike.
CREATE TABLE faults AS
WITH opened AS (
    SELECT run, fault, instance, min(at_ns) FILTER (phase = 'start') AS start_ns,
           arg_min(file, at_ns) FILTER (phase = 'start') AS start_file,
           max(at_ns) FILTER (phase = 'stop') AS stop_ns,
           any_value(label) AS label,
           -- A stop names, too, who took the place of one and was struck as well.
           list_sort(list_distinct(flatten(list(targets) FILTER (len(targets) > 0)))) AS targets,
           max(TRY_CAST(params ->> 'fired' AS BIGINT)) AS fired
    FROM raw WHERE event = 'fault' GROUP BY run, fault, instance
)
SELECT *, instance IN (SELECT instance FROM raw WHERE event = 'mark' AND name = 'fault-unproven' AND instance IS NOT NULL)
          AS unproven
FROM opened WHERE start_ns IS NOT NULL;

CREATE TABLE lives AS
WITH touched AS (
    SELECT id, max(at_ns) AS last_ns FROM raw
    WHERE event IN ('sent', 'received', 'effect', 'settled') AND id IS NOT NULL GROUP BY id
)
SELECT m.run, m.id, coalesce(m.due_ns, m.intended_ns) AS from_ns,
       greatest(coalesce(t.last_ns, m.due_ns, m.intended_ns), coalesce(m.due_ns, m.intended_ns)) AS to_ns
FROM messages m LEFT JOIN touched t ON t.id = m.id
WHERE m.intended_ns IS NOT NULL;

CREATE TABLE nothing_happened AS
WITH windows AS (
    SELECT f.run, fault, instance, start_ns, fired, coalesce(unproven, false) AS unproven,
           coalesce(stop_ns, e.end_ns) AS stop_ns
    FROM faults f JOIN (SELECT run, max(at_ns) AS end_ns FROM raw GROUP BY run) e ON e.run = f.run
), struck AS (
    SELECT w.run, w.fault, w.instance, any_value(w.fired) AS fired, any_value(w.unproven) AS unproven,
           count(l.id) FILTER (l.to_ns - clock_error() >= w.start_ns) AS touched
    FROM windows w LEFT JOIN lives l ON l.run = w.run AND l.from_ns + clock_error() <= w.stop_ns
    GROUP BY w.run, w.fault, w.instance
)
SELECT run, tag, 'nothing was acked' AS reason FROM runs
WHERE run NOT IN (SELECT run FROM messages WHERE status = 'acked')
UNION ALL
SELECT run, tag, 'nothing was received' FROM runs
WHERE run NOT IN (SELECT run FROM raw WHERE event = 'received' AND s IS NOT NULL)
  -- Where nobody records receives anywhere, that says nothing.
  AND run NOT IN (SELECT run FROM declared GROUP BY run HAVING bool_and(seen_from = 'nobody'))
UNION ALL
SELECT w.run, r.tag, 'fault ' || w.fault || ' (' || coalesce(w.instance, '?') || ') '
       || CASE WHEN w.fired = 0 THEN 'never struck' WHEN w.unproven THEN 'may never have struck' ELSE 'touched no message' END
FROM struck w JOIN runs r ON r.run = w.run
WHERE w.touched = 0 OR coalesce(w.fired = 0, false) OR w.unproven;
