-- It ended among the dead letters though its effect stands. On: queue. Needs: effects.
SELECT s, id FROM pairs WHERE dead AND applied > 0
