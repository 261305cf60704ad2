-- reported done by one invocation, and received again after that answer; one per receive: legal
SELECT s, id, count(*) AS n, NULL AS note, min(line) AS line, arg_min(other_line, line) AS other_line FROM reruns GROUP BY s, id
UNION ALL
-- `uncounted`: nobody can tell whether it came too early.
SELECT r.s, r.id, 0, 'uncounted', NULL, NULL
FROM reruns r JOIN subs u ON u.s = r.s AND u.kind = 'queue' AND u.deduplicates
LEFT JOIN repeated q ON q.line = r.line
WHERE coalesce(q.uncounted, true) AND r.line NOT IN (SELECT line FROM too_early);
