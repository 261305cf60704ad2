-- a before b, both received, but b first; not if a may be dead (nobody has read the dead letters since, or it was found
-- there) and a call that received it may have begun before; `unread` where only the reading is missing
WITH elsewhere AS (
    -- What another writer received of it may by its clock have been the first.
    SELECT x.s, x.id, min(x.at_ns) AS at_ns
    FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id AND x.file <> p.first.file
    WHERE clock_error() > 0 GROUP BY x.s, x.id
), late AS (
    SELECT p.s, p.id, f.any_ns, f.same_line, p.ever_dead OR p.first_redrive IS NOT NULL AS died,
           NOT (p.ever_dead OR p.first_redrive IS NOT NULL
                OR (p.dead_letter AND NOT coalesce(f.any_ns + clock_error() < p.looked_ns, false)))
           -- An unanswered attempt of it may have stored another copy, which nobody saw die.
           OR (NOT p.sent.unsure AND coalesce(f.any_ns + clock_error() < p.first_call.at_ns
                        OR (f.same_ns < p.first_call.at_ns AND p.first_call.file = p.first.file), false)
               AND (p.first_redrive IS NULL
                    OR record_before(p.first.at_ns, p.first.file, p.first.line, p.first_redrive.at_ns,
                                     p.first_redrive.file, p.first_redrive.line))) AS blamed
    FROM followers f JOIN pairs p ON p.s = f.s AND p.id = f.id
    LEFT JOIN elsewhere e ON e.s = f.s AND e.id = f.id
    WHERE f.asks = 'received' AND p.received
      AND (f.any_ns + clock_error() < p.first.at_ns
           OR (f.same_line < p.first.line AND coalesce(f.same_ns + clock_error() < e.at_ns, true)))
)
SELECT l.s, l.id, CASE WHEN blamed THEN 1 ELSE 0 END AS n, CASE WHEN NOT blamed THEN 'unread' END AS note, o.other
FROM late l LEFT JOIN overtaker('late', 'received') o ON o.s = l.s AND o.id = l.id
WHERE blamed OR NOT died
UNION ALL
-- `close`: two of one group, received first by different writers no further apart than their clocks may differ.
SELECT s, id, 0, 'close', NULL FROM too_close WHERE asks = 'received';
