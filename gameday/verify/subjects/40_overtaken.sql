-- Each message that came or worked out of its order, with the other one: `late` is the one that came too late, `first` the one
-- that overtook it.

CREATE TABLE overtaken AS
SELECT r.anomaly, r.s, r.id, CASE r.anomaly WHEN 'group-overtake' THEN r.other ELSE r.id END AS late,
       CASE r.anomaly WHEN 'group-overtake' THEN r.id ELSE r.other END AS first, u.kind
FROM rows_found r JOIN subs u ON u.s = r.s JOIN kind_of k ON k.anomaly = r.anomaly AND k.what = 'overtake'
WHERE r.n > 0;

-- Those whose disorder is the service's by itself, which gave, or numbered, in another order than it had promised; and the
-- effects that were in that order for it.
CREATE TABLE misordered AS
WITH given AS (
    SELECT o.* FROM overtaken o JOIN pairs p ON p.s = o.s AND p.id = o.id
    WHERE o.anomaly IN ('group-overtake', 'nonmonotonic-send', 'concurrent-invocation')
       OR (o.anomaly = 'nonmonotonic-delivery' AND o.kind = 'queue')
       -- A stream is read from where its readers like: only one answer is the service's own order.
       OR (o.anomaly = 'nonmonotonic-delivery' AND EXISTS (
              SELECT 1 FROM rx a JOIN rx b ON b.s = a.s AND b.batch = a.batch AND b.part = a.part AND b.line < a.line
              WHERE a.s = o.s AND a.id = o.late AND b.id = o.first AND a.line = p.first.line))
)
SELECT DISTINCT s, id FROM given
UNION
SELECT DISTINCT o.s, o.id FROM overtaken o SEMI JOIN given g ON g.s = o.s AND g.late = o.late
WHERE o.anomaly = 'effect-out-of-order';

-- Those in which each handling of the late one is told: whether it failed or came again before the other one had its effect,
-- whether the other one had its effect while the late one was in hand, and whether an effect was applied after its hold.
CREATE TABLE handled_late AS
SELECT o.s, o.id,
       bool_or(coalesce(f.batch IS NOT NULL AND l.at_ns <= b.effects.first_applied.at_ns, false)) AS failed_before,
       count(l.line) FILTER (l.at_ns < b.effects.first_applied.at_ns) > 0 AND a.first.at_ns < b.effects.first_applied.at_ns
           AS in_hand
FROM (SELECT * FROM overtaken WHERE anomaly = 'effect-out-of-order') o
JOIN pairs a ON a.s = o.s AND a.id = o.late
JOIN pairs b ON b.s = o.s AND b.id = o.first
LEFT JOIN rx l ON l.s = o.s AND l.id = o.late
LEFT JOIN failures f ON f.s = l.s AND f.batch = l.batch AND f.id = l.id
GROUP BY o.s, o.id, a.first, b.effects;
