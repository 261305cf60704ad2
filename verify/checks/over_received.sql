-- received more often than the redrive policy allows; one per receive
SELECT x.s, x.id, count(*) AS n, NULL AS note
FROM rx x JOIN subs u ON u.s = x.s
WHERE u.dead_letter AND x.receives > u.max_receives
GROUP BY x.s, x.id;
