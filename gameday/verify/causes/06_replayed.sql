-- A replay of the archive sent it again. Of: redelivery. Proof: its `received` names a replay that the one before does
-- not. Do: nothing: a replay is asked for. What it repeats must be safe to do twice
-- (docs.aws.amazon.com/eventbridge/latest/userguide/eb-replay-archived-event.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds
WHERE replay IS NOT NULL AND replay IS DISTINCT FROM hold_replay;
