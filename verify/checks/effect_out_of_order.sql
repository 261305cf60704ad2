-- a before b, a never dead (as far as anybody has looked), both applied, and whatever may have applied a began after
-- b's effect was recorded; `unread` where nobody has looked
WITH late AS (
    SELECT p.s, p.id,
           NOT p.dead_letter OR coalesce(f.any_ns + clock_error() < p.looked_ns, false)
           OR coalesce(f.any_ns + clock_error() < p.first_call.at_ns, false) AS blamed
    FROM followers('first_effects') f
    JOIN (SELECT *, least(first_apply_began, first_unhandled) AS handling FROM pairs) p ON p.s = f.s AND p.id = f.id
    WHERE NOT p.ever_dead AND p.first_redrive IS NULL AND p.applied > 0
      AND (f.any_ns + clock_error() < p.handling.at_ns OR f.same_ns < p.handling.at_ns)
)
SELECT s, id, CASE WHEN blamed THEN 1 ELSE 0 END AS n, CASE WHEN NOT blamed THEN 'unread' END AS note FROM late
UNION ALL
-- `close`: two of one group, applied first by different writers no further apart than their clocks may differ.
SELECT s, id, 0, 'close' FROM too_close('first_effects');
