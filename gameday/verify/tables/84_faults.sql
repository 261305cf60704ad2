-- Faults, each with its window. `unproven`: nobody saw it strike.
CREATE TABLE faults AS
WITH opened AS (
    SELECT run, fault, instance, min(at_ns) FILTER (phase = 'start') AS start_ns,
           arg_min(file, (at_ns, line)) FILTER (phase = 'start') AS start_file,
           max(at_ns) FILTER (phase = 'stop') AS stop_ns,
           arg_min(label, line) AS label,
           -- A stop names, too, who took the place of one and was struck as well.
           list_sort(list_distinct(flatten(list(targets) FILTER (len(targets) > 0)))) AS targets,
           max(TRY_CAST(params ->> 'fired' AS BIGINT)) AS fired
    FROM raw WHERE event = 'fault' GROUP BY run, fault, instance
)
SELECT *, instance IN (SELECT instance FROM raw WHERE event = 'mark' AND name = 'fault-unproven' AND instance IS NOT NULL)
          AS unproven
FROM opened WHERE start_ns IS NOT NULL;

-- Their windows, for who asks what they touched: one without a stop lasts to the end.
CREATE TABLE windows AS
SELECT f.run, fault, instance, start_ns, fired, coalesce(unproven, false) AS unproven, coalesce(stop_ns, e.end_ns) AS stop_ns
FROM faults f JOIN (SELECT run, max(at_ns) AS end_ns FROM raw GROUP BY run) e ON e.run = f.run;
