-- a message has more executions than starts that may have been accepted, and each start was waited for; one per extra one
SELECT NULL AS s, id, executions - greatest(starts, 1) AS n, NULL AS note FROM several_executions WHERE executions > greatest(starts, 1);
