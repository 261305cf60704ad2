-- A guard found its effect done already, and left it alone. On: queue, stream. Needs: effects.
SELECT s, id FROM effect_records WHERE outcome = 'skipped'
