-- an item of a map was never asked for, of an execution that succeeded, and the step's queue was drained; one per item
SELECT u.s, m.id, count(*) AS n, NULL AS note
FROM mapped m JOIN subs u ON u.run = m.run AND u.per_item
JOIN drains z ON z.s = u.s AND z.drained
LEFT JOIN pairs p ON p.s = u.s AND p.id = m.id,
     unnest(range(0, coalesce(m.items, 0))) i(item)
ANTI JOIN tasks t ON t.s = u.s AND t.execution = m.arn AND t.item = i.item AND t.id = m.id
WHERE NOT coalesce(p.in_doubt OR p.ever_dead, false)
GROUP BY u.s, m.id;
