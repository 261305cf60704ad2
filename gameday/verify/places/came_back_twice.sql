-- It was received three times, or more. On: queue, stream.
SELECT s, id FROM repeated GROUP BY s, id, copy HAVING count(*) > 2
