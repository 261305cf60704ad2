-- a body that was fetched is not the one that was stored; one per fetch
SELECT s, id, count(*) AS n, NULL AS note, min(line) AS line FROM fetches WHERE outcome = 'ok' AND NOT intact GROUP BY s, id;
