-- The reasons for which a run proves nothing.

CREATE TABLE nothing_happened AS
WITH ended AS (
    SELECT w.*, t.touched
    FROM windows w
    JOIN (SELECT run, fault, instance, sum(touched)::BIGINT AS touched FROM struck GROUP BY run, fault, instance) t
        ON t.run = w.run AND t.fault IS NOT DISTINCT FROM w.fault AND t.instance IS NOT DISTINCT FROM w.instance
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
FROM ended w JOIN runs r ON r.run = w.run
WHERE w.touched = 0 OR coalesce(w.fired = 0, false) OR w.unproven;
