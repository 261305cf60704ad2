-- on a queue ordered by group: b received while a, received earlier and before b in order, is proven still queued;
-- one per receive of b
SELECT s, id, count(*) AS n, NULL AS note FROM overtakes GROUP BY s, id;
