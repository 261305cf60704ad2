-- where deduplication is promised, the same copy again: twice in one batch, or before its hold had ended and with no
-- release begun, or after a delete in time had been answered; one per receive
SELECT s, id, count(*) AS n, CASE WHEN line IN (SELECT line FROM reruns) THEN 'reported done' END AS note,
       min(line) AS line, arg_min(other_line, line) AS other_line
FROM early_receives GROUP BY s, id, note
UNION ALL
SELECT s, id, 0, 'given back', NULL, NULL FROM too_early WHERE given_back GROUP BY s, id
UNION ALL
-- `uncounted`: a copy came again, and no count tells which hold a receive followed; `close`: the clocks leave it open.
SELECT a.s, a.id, 0, 'uncounted', NULL, NULL FROM again a JOIN subs u ON u.s = a.s
WHERE a.n > 0 AND a.uncounted AND u.kind = 'queue' AND u.deduplicates
UNION ALL
SELECT s, id, 0, 'close', NULL, NULL FROM followed WHERE close AND NOT coalesce(early, false);
