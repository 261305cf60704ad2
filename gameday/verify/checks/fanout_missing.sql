-- lost on one subscription, received on another
SELECT m.s, m.id, 1 AS n, NULL AS note, m.id AS other, min(p.s) AS other_s
FROM missing m JOIN pairs p ON p.id = m.id AND p.s <> m.s AND p.received
WHERE m.proven
GROUP BY m.s, m.id;
