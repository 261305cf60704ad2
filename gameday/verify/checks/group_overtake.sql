-- on a queue ordered by group: b received while a, received earlier and before b in order, is proven still queued;
-- one per receive of b; `unread` where a may have been a dead letter, for nobody has looked since
SELECT s, id, count(*) FILTER (NOT unread) AS n, CASE WHEN bool_and(unread) THEN 'unread' END AS note, arg_min(other, (line, unread)) AS other,
       min(line) AS line
FROM overtakes GROUP BY s, id;
