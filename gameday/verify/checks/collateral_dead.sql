-- dead, not poison, and no handler ever failed it; why it died instead is told as a note
SELECT p.s, p.id, 1 AS n,
       CASE WHEN EXISTS (SELECT 1 FROM rx x JOIN failures e ON e.s = x.s AND e.batch = x.batch AND e.id <> x.id
                         WHERE x.s = p.s AND x.id = p.id) THEN 'it shared a batch with one that failed'
            WHEN EXISTS (SELECT 1 FROM settles c WHERE c.s = p.s AND c.id = p.id AND c.action = 'release' AND c.may_work)
            THEN 'it was given back before it was handled'
            ELSE 'its visibility ran out' END AS note
FROM pairs p
WHERE surely_dead AND intended AND NOT poison AND effects.failed = 0 AND NOT cause_untold AND NOT dead_in_doubt;
