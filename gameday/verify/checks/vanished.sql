-- received on a drained queue, not dead, never redriven, and no delete that may have worked was ever begun
SELECT s, id, 1 AS n, NULL AS note
FROM pairs
WHERE received AND kind = 'queue' AND drained AND NOT dead AND first_redrive IS NULL AND first_delete IS NULL AND NOT in_doubt
  AND s NOT IN (SELECT s FROM subs WHERE gives_up);
