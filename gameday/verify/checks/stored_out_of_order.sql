-- one producer's messages of a group, both acked and both received, stand in the broker against their `seq`
WITH stored AS (
    SELECT s, id, stored.number AS number, kind, sent.unsure AS unsure, ever_dead OR first_redrive IS NOT NULL AS died, dead_letter, looked_ns,
           arg_min(first.at_ns, stored.number) OVER later AS first_ns,
           arg_min(id, stored.number) OVER later AS other, min(stored.number) OVER later AS smallest_later
    FROM pairs
    WHERE ordered_by IS NOT NULL AND NOT in_doubt AND acked AND received AND stored.number IS NOT NULL
      AND sent.producer IS NOT NULL AND grp IS NOT NULL AND sent.seq IS NOT NULL
    WINDOW later AS (PARTITION BY s, sent.producer, grp, stored.part ORDER BY sent.seq
                     GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
)
SELECT s, id, CASE WHEN unread THEN 0 ELSE 1 END AS n, CASE WHEN unread THEN 'unread' END AS note, other
FROM (SELECT *, kind = 'queue' AND unsure AND NOT died AND dead_letter
                AND NOT coalesce(first_ns + clock_error() < looked_ns, false) AS unread FROM stored)
WHERE smallest_later < number
  -- An unanswered attempt of it may have stored an earlier copy, which nobody saw die; `unread` where nobody has looked.
  AND NOT (kind = 'queue' AND unsure AND died);
