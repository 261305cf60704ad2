-- acked, expected, and within the time of a replay that ran to its end; on a drained subscription, not dead there, and
-- never received there from that replay; one per replay; `origin` where a function may have had it from there
SELECT t.s, t.id, count(*) FILTER (b.id IS NULL) AS n, CASE WHEN bool_or(b.id IS NOT NULL) THEN 'origin' END AS note
FROM to_replay t ANTI JOIN rx x ON x.s = t.s AND x.id = t.id AND x.replay = t.replay
LEFT JOIN (SELECT DISTINCT s, id FROM rx WHERE bare) b ON b.s = t.s AND b.id = t.id
WHERE t.drained AND NOT t.ever_dead AND NOT t.in_doubt
GROUP BY t.s, t.id;
