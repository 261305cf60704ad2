-- the same as lost, not proven
SELECT s, id, 1 AS n, NULL AS note FROM missing WHERE NOT proven;
