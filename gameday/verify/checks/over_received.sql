-- received more often than the redrive policy allows; one per receive
WITH copies AS (
    SELECT x.s, x.id, x.copy, count(*) FILTER (x.receives > u.max_receives) AS counted,
           CASE WHEN bool_or(x.receives IS NULL) AND NOT any_value(u.by_service) AND NOT bool_or(d.id IS NOT NULL) AND x.copy <> '' AND any_value(p.first_redrive) IS NULL
                THEN count(*) - any_value(u.max_receives) ELSE 0 END AS recorded
    FROM rx x JOIN subs u ON u.s = x.s JOIN pairs p ON p.s = x.s AND p.id = x.id
    LEFT JOIN perhaps_redriven d ON d.s = x.s AND d.id = x.id
    WHERE u.dead_letter
    GROUP BY x.s, x.id, x.copy
)
SELECT s, id, sum(greatest(counted, coalesce(recorded, 0)))::BIGINT AS n, NULL AS note
FROM copies GROUP BY s, id HAVING n > 0
UNION ALL
-- `uncounted`: of a receive without a count nobody could see that it was one too many.
SELECT x.s, NULL, 0, 'uncounted' FROM rx x JOIN subs u ON u.s = x.s
WHERE u.dead_letter AND NOT u.gives_up AND x.receives IS NULL GROUP BY x.s;
