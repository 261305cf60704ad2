-- lost on one subscription, received on another
SELECT m.s, m.id, 1 AS n, NULL AS note
FROM missing m
WHERE m.proven AND EXISTS (SELECT 1 FROM pairs p WHERE p.id = m.id AND p.s <> m.s AND p.received);
