-- a poison message, acked or received, that is not among the dead letters though everything is drained
SELECT s, id, 1 AS n, NULL AS note
FROM pairs WHERE poison AND (acked OR received) AND expected AND dead_letter AND drained AND NOT dead AND NOT dead_in_doubt;
