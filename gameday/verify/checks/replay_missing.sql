-- acked, expected, and within the time of a replay that ran to its end; on a drained subscription, not dead there, and
-- never received there from that replay; one per replay
SELECT t.s, t.id, count(*) AS n, NULL AS note
FROM to_replay t ANTI JOIN rx x ON x.s = t.s AND x.id = t.id AND x.replay = t.replay
WHERE t.drained AND NOT t.ever_dead AND NOT t.in_doubt
GROUP BY t.s, t.id;
