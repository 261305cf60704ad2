-- a consumer was asked for a task of an execution that succeeded, and no effect of it stands; one per task
SELECT s, id, count(*) AS n, NULL AS note
FROM tasks
WHERE received AND drained AND status = 'succeeded' AND applied = 0 AND NOT unknown AND NOT failed AND NOT ever_dead AND NOT in_doubt
GROUP BY s, id;
