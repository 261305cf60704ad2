-- a message has more than one execution of a Standard workflow; one per extra one
SELECT NULL AS s, id, count(*) - 1 AS n, NULL AS note FROM executions WHERE workflow = 'standard' GROUP BY id HAVING count(*) > 1;
