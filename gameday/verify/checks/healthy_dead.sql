-- dead, not poison, and a handler failed it at least once
SELECT s, id, 1 AS n, NULL AS note FROM pairs WHERE surely_dead AND intended AND NOT poison AND effects.failed > 0
  AND NOT dead_in_doubt;
