-- settled by the service and gone from a drained subscription, not dead, and each invocation of it failed it, if there was any;
-- `unanswered`: some gave no answer, and none says that it is done
SELECT p.s, p.id, CASE WHEN coalesce(h.open, 0) = 0 THEN 1 ELSE 0 END AS n,
       CASE WHEN coalesce(h.open, 0) > 0 THEN 'unanswered' END AS note
FROM pairs p JOIN subs u ON u.s = p.s AND u.by_service
LEFT JOIN (SELECT s, id, bool_or(may_be_done) AS may_be_done, count(*) FILTER (NOT failed) AS open
           FROM handlings GROUP BY s, id) h ON h.s = p.s AND h.id = p.id
WHERE (p.received OR p.acked AND p.expected) AND p.drained AND NOT p.dead AND p.first_redrive IS NULL AND NOT p.in_doubt
  AND NOT coalesce(h.may_be_done, false);
