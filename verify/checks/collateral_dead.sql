-- dead, not poison, and no handler ever failed it: it shared its batches with one that failed
SELECT s, id, 1 AS n, NULL AS note FROM pairs WHERE surely_dead AND intended AND NOT poison AND failures = 0;
