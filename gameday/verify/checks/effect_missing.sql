-- acked or received, expected, drained, and applied zero times with no unknown effect; a dead poison has none to miss
SELECT s, id, 1 AS n, NULL AS note
FROM pairs
WHERE (acked OR received) AND expected AND drained AND applied = 0 AND NOT unknown_effect
  AND NOT (poison AND (dead OR dead_in_doubt))
  AND run IN (FROM effects_recorded);
