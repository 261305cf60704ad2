-- received again as the same copy, and not too early; one per receive: legal
SELECT s, id, sum(n)::BIGINT AS n, NULL AS note, min(first.line) AS line, arg_min(first.before, first.line) AS other_line
FROM again WHERE n > 0 GROUP BY s, id;
