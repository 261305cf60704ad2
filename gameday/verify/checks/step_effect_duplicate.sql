-- the effect of a workflow's task was applied more than once; one per extra time
SELECT s, id, sum(applied - 1)::BIGINT AS n, NULL AS note, min(lines[2]) AS line, min(lines[1]) AS other_line
FROM tasks WHERE applied > 1 GROUP BY s, id;
