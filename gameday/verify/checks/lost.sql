-- acked, expected, never received but from a replay, nor dead, and proven: the subscription is drained, or a message
-- after it in its group was received (where there are dead letters, only once they have been looked at)
SELECT s, id, 1 AS n, NULL AS note FROM missing WHERE proven;
