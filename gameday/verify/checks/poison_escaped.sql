-- a poison message, acked or received, that is not among the dead letters though everything is drained
SELECT p.s, p.id, 1 AS n, NULL AS note
-- What becomes of a poison message is the workflow's to say, where one sends it.
FROM pairs p JOIN subs u ON u.s = p.s AND u.step IS NULL
WHERE p.poison AND (p.acked OR p.received) AND p.expected AND p.dead_letter AND p.drained AND NOT p.dead AND NOT p.dead_in_doubt;
