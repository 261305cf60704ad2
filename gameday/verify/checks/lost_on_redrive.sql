-- sent back from the dead letters, then neither received nor found dead again, though the subscription is drained
SELECT p.s, p.id, 1 AS n, NULL AS note
FROM pairs p
WHERE p.last_redrive IS NOT NULL AND p.drained AND NOT p.dead AND NOT p.in_doubt
  AND (NOT p.received OR record_before(p.last.at_ns, p.last.file, p.last.line,
                                       p.last_redrive.at_ns, p.last_redrive.file, p.last_redrive.line));
