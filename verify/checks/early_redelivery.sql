-- where deduplication is promised, the same copy again: twice in one batch, or before its hold had ended and with no
-- release begun, or after a delete in time had been answered; one per receive
SELECT s, id, count(*) AS n, NULL AS note FROM early_receives GROUP BY s, id;
