-- a start of a Standard workflow was accepted, all executions were read, and there is none that it was answered with; one per message
SELECT NULL AS s, m.id, 1 AS n, NULL AS note
FROM messages m JOIN runs w ON w.run = m.run AND w.workflow = 'standard'
JOIN executions_read r ON r.run = m.run
LEFT JOIN (SELECT id, bool_or(last IS NULL) AS untold, bool_or(last IS NOT NULL) AS told FROM executions GROUP BY id) e ON e.id = m.id
WHERE m.status = 'acked' AND (coalesce(e.untold, false) OR NOT coalesce(e.told, false));
