-- what was received, or fetched, does not fit the schema that is asked of it; one per record
SELECT s, id, count(*) AS n, NULL AS note, min(line) AS line FROM raw
WHERE event IN ('received', 'fetched') AND conforms = 'bad' AND id IS NOT NULL AND s IS NOT NULL
GROUP BY s, id;
