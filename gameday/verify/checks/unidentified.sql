-- received without an id, under a name that no answer to a send gave to one message alone; one per receive
SELECT s, NULL AS id, count(*) AS n, NULL AS note FROM unidentified WHERE event = 'received' GROUP BY s;
