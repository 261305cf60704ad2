-- a start of an Express workflow was accepted, which expects a step, all steps were drained, and none of them was asked for anything; one per message
SELECT NULL AS s, m.id, 1 AS n, NULL AS note
FROM messages m JOIN runs w ON w.run = m.run AND w.workflow = 'express'
JOIN (SELECT u.run, bool_and(z.drained AND u.seen_from <> 'nobody') AS drained FROM subs u JOIN drains z ON z.s = u.s WHERE u.step IS NOT NULL GROUP BY u.run) d
    ON d.run = m.run AND d.drained
ANTI JOIN (SELECT p.id FROM pairs p JOIN subs u ON u.s = p.s AND u.step IS NOT NULL
           WHERE p.received OR p.ever_dead OR p.in_doubt) p ON p.id = m.id
SEMI JOIN (SELECT p.id FROM pairs p JOIN subs u ON u.s = p.s AND u.step IS NOT NULL WHERE p.expected) x ON x.id = m.id
WHERE m.status = 'acked';
