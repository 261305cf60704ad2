-- a group's message is first invoked while an invocation that holds another one of its group is at work; one per invocation
-- and group; `unread` where that other one may have been a dead letter, for nobody has looked since
WITH ordered AS (
    SELECT h.*, p.grp, u.kind, u.dead_letter, p.looked_ns, p.ever_dead OR p.first_redrive IS NOT NULL AS died,
           p.first_redrive IS NOT NULL AS sent_back
    FROM handlings h
    JOIN subs u ON u.s = h.s AND u.by_service AND u.ordered_by IS NOT NULL
    JOIN pairs p ON p.s = h.s AND p.id = h.id
    WHERE h.recorded AND p.grp IS NOT NULL AND NOT p.in_doubt
      -- What failed may be given up on a stream, and who invoked it knows when it had an answer.
      AND (u.kind = 'queue' OR u.all_invoked)
), seen AS (
    -- Of each message when it was first received in any batch, and when first in another one than that.
    SELECT o.line, min(x.at_ns) FILTER (x.batch IS DISTINCT FROM o.batch) AS elsewhere_ns
    FROM ordered o JOIN rx x ON x.s = o.s AND x.id = o.id
    GROUP BY o.line
), deleted AS (
    SELECT s, id, min(began_ns) AS began_ns FROM possible_deletes WHERE NOT presumed GROUP BY s, id
), events AS (
    -- From when on, and until when, an invocation holds a message for certain.
    SELECT o.s, o.grp, o.id, o.batch, o.began.ns + clock_error() AS moment, NULL::BIGINT AS at_ns,
           CASE o.kind WHEN 'queue' THEN least(o.answered_ns, greatest(x.ends.started, x.ends.intended)) ELSE o.answered_ns END AS until_ns,
           NULL::BOOLEAN AS unread
    FROM ordered o JOIN seen w ON w.line = o.line JOIN rx x ON x.line = o.line
    LEFT JOIN deleted d ON d.s = o.s AND d.id = o.id
    WHERE NOT o.died AND o.answered_ns IS NOT NULL
      AND (o.kind <> 'queue' OR greatest(x.ends.started, x.ends.intended) IS NOT NULL)
      AND coalesce(o.answered_ns + clock_error() < w.elsewhere_ns, true)
      AND coalesce(o.answered_ns + clock_error() < d.began_ns, true)
    UNION ALL
    SELECT o.s, o.grp, o.id, o.batch, o.began.ns, o.began.ns, NULL,
           o.dead_letter AND NOT coalesce(o.began.ns + clock_error() < o.looked_ns, false)
    FROM ordered o JOIN seen w ON w.line = o.line
    WHERE NOT o.sent_back AND coalesce(o.began.ns + clock_error() < w.elsewhere_ns, true)
), beside AS (
    SELECT *, max({'ns': until_ns, 'id': id}) FILTER (until_ns IS NOT NULL) OVER at_work AS longest FROM events
    WINDOW at_work AS (PARTITION BY s, grp ORDER BY moment GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), begun AS (
    SELECT s, grp, batch, min(id) AS id, bool_or(unread) AS unread, arg_min(longest.id, id) AS other
    FROM beside WHERE at_ns + clock_error() < longest.ns
    GROUP BY s, grp, batch
)
SELECT s, id, count(*) FILTER (NOT unread) AS n, CASE WHEN bool_and(unread) THEN 'unread' END AS note, min(other) AS other
FROM begun GROUP BY s, id;
