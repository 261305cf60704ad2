-- dead on a queue, with fewer invocations on record than the messages there may have receives; `unrecorded` where an
-- invocation may have left no record
SELECT p.s, p.id, CASE WHEN u.all_invoked THEN 1 ELSE 0 END AS n, CASE WHEN NOT u.all_invoked THEN 'unrecorded' END AS note
FROM pairs p JOIN subs u ON u.s = p.s
LEFT JOIN (SELECT s, id, count(*) AS n FROM handlings WHERE recorded GROUP BY s, id) h ON h.s = p.s AND h.id = p.id
WHERE (u.by_service OR u.all_invoked) AND u.kind = 'queue' AND u.dead_letter AND p.seen_from <> 'nobody'
  AND p.ever_dead AND p.intended AND NOT p.dead_in_doubt AND coalesce(h.n, 0) < u.max_receives;
