-- an object that is left without its message until a rule of its bucket removes it; one per message: legal
SELECT NULL AS s, id, 1 AS n, NULL AS note, line FROM orphans WHERE bounded;
