-- An attempt to send it was refused, and it was sent again. On: queue, stream.
SELECT NULL AS s, i.id
FROM raw i JOIN raw b ON b.id = i.id AND b.event = 'sent' AND b.outcome = 'failed' AND coalesce(b.attempt, 1) < i.attempt
WHERE i.event = 'intended' AND i.attempt > 1
