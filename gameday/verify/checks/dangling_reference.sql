-- the object of a reference was gone while its message was still on a queue: a consumer was told so, or it had been removed,
-- before any delete of the message that may have worked was begun; one per message
SELECT g.s, g.id, 1 AS n, NULL AS note, min(g.line) AS line
FROM goings g JOIN pairs p ON p.s = g.s AND p.id = g.id
WHERE p.kind = 'queue' AND (p.expected OR p.received) AND NOT p.in_doubt
  AND NOT EXISTS (SELECT 1 FROM possible_deletes d
                  WHERE d.s = g.s AND d.id = g.id AND NOT before(g.at_ns, g.file, d.began_ns, d.file))
GROUP BY g.s, g.id;
