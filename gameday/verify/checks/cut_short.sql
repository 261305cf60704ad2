-- acked, expected on a step, and neither received nor dead there, for an execution of the message was stopped on purpose; legal
SELECT s, id, 1 AS n, NULL AS note FROM cut_short;
