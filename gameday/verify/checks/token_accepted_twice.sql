-- the service accepted a task token that it had accepted before; one per extra time
SELECT s, id, sum(accepted - 1)::BIGINT AS n, NULL AS note, min(lines[2]) AS line, min(lines[1]) AS other_line
FROM tokens WHERE accepted > 1 GROUP BY s, id;
