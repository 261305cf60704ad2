-- received again as the same copy, and not too early: legal; one per receive
SELECT s, id, count(*) AS n, NULL AS note
FROM again
WHERE NOT early
GROUP BY s, id;
