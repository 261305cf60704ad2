-- received again as the same copy, and not too early: legal; one per receive
SELECT s, id, sum(n)::BIGINT AS n, NULL AS note FROM again WHERE n > 0 GROUP BY s, id;
