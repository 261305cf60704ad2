-- an object that is left without its message, which no rule of its bucket removes; one per message
SELECT NULL AS s, id, 1 AS n, NULL AS note, line FROM orphans WHERE NOT bounded;
