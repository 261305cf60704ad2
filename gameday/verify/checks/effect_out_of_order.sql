-- a before b, a never dead (as far as anybody has looked), both applied, and whatever may have applied a began after
-- b's effect was recorded; `unread` where nobody has looked
WITH elsewhere AS (
    -- What another writer handled of it may by its clock have been the first.
    SELECT h.s, h.id, min(h.at_ns) AS at_ns
    FROM (SELECT s, id, file, started_ns AS at_ns FROM effect_records WHERE outcome = 'applied'
          UNION ALL SELECT s, id, file, at_ns FROM unhandled) h
    JOIN pairs p ON p.s = h.s AND p.id = h.id AND h.file <> least(p.effects.first_began, p.effects.first_unhandled).file
    WHERE clock_error() > 0 GROUP BY h.s, h.id
), called_elsewhere AS (
    -- Another writer's call that received it may by its clock have been the first to begin.
    SELECT x.s, x.id, min(x.started_ns) AS at_ns
    FROM rx x JOIN pairs p ON p.s = x.s AND p.id = x.id AND x.file <> p.first_call.file
    WHERE clock_error() > 0 GROUP BY x.s, x.id
), late AS (
    SELECT p.s, p.id, f.any_ns, f.same_line,
           NOT p.dead_letter OR coalesce(f.any_ns + clock_error() < p.looked_ns, false)
           -- An unanswered attempt of it may have stored another copy, which nobody saw die.
           OR (NOT p.sent.unsure AND (coalesce(f.any_ns + clock_error() < p.first_call.at_ns, false)
                                 OR (coalesce(f.same_ns < p.first_call.at_ns, false)
                                     AND p.first_call.file = p.handling.file
                                     AND coalesce(f.same_ns + clock_error() < c.at_ns, true)))) AS blamed
    FROM followers f
    JOIN (SELECT *, least(effects.first_began, effects.first_unhandled) AS handling FROM pairs) p ON p.s = f.s AND p.id = f.id
    LEFT JOIN elsewhere e ON e.s = f.s AND e.id = f.id
    LEFT JOIN called_elsewhere c ON c.s = f.s AND c.id = f.id
    WHERE f.asks = 'applied' AND NOT p.ever_dead AND p.first_redrive IS NULL AND p.applied > 0
      AND (f.any_ns + clock_error() < p.handling.at_ns
           OR (f.same_ns < p.handling.at_ns AND coalesce(f.same_ns + clock_error() < e.at_ns, true)))
)
SELECT l.s, l.id, CASE WHEN blamed THEN 1 ELSE 0 END AS n, CASE WHEN NOT blamed THEN 'unread' END AS note, o.other
FROM late l LEFT JOIN overtaker('late', 'applied') o ON o.s = l.s AND o.id = l.id
UNION ALL
-- `close`: two of one group, applied first by different writers no further apart than their clocks may differ.
SELECT s, id, 0, 'close', NULL FROM too_close WHERE asks = 'applied';
