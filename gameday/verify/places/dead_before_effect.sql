-- It ended among the dead letters without any effect. On: queue. Needs: effects.
SELECT s, id FROM pairs WHERE dead AND applied = 0 AND NOT unknown_effect
