-- a checkpoint that worked, at a position below one that had worked before it began; one per checkpoint
WITH done AS (
    SELECT s, part, id, number, began_ns, answered_ns, file, line
    FROM settles WHERE action = 'checkpoint' AND ok AND number IS NOT NULL AND part IS NOT NULL
), moments AS (
    SELECT s, part, answered_ns + clock_error() AS moment, number AS reached, NULL AS number, NULL AS line FROM done
    UNION ALL
    SELECT s, part, began_ns, NULL, number, line FROM done
), moments_here AS (
    SELECT s, part, file, answered_ns AS moment, number AS reached, NULL AS number, NULL AS line FROM done
    UNION ALL
    SELECT s, part, file, began_ns, NULL, number, line FROM done
), late AS (
    SELECT line, number < max(reached) OVER (PARTITION BY s, part ORDER BY moment
                                             GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS stale
    FROM moments
    UNION ALL
    SELECT line, number < max(reached) OVER (PARTITION BY s, part, file ORDER BY moment
                                             GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS stale
    FROM moments_here
)
SELECT s, id, count(*) AS n, NULL AS note
FROM done WHERE line IN (SELECT line FROM late WHERE stale)
GROUP BY s, id;
