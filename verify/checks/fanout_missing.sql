-- lost on one subscription, received on another
SELECT m.s, m.id, 1 AS n, NULL AS note
FROM missing m
WHERE m.proven AND m.id IN (SELECT p.id FROM pairs p WHERE p.received);
