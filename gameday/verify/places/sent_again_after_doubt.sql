-- An attempt to send it had no answer that told whether it worked, and it was sent again. On: queue, stream.
SELECT NULL AS s, i.id
FROM raw i JOIN raw b ON b.id = i.id AND b.event = 'sent' AND coalesce(b.outcome, '') NOT IN ('ok', 'failed')
    AND coalesce(b.attempt, 1) < i.attempt
WHERE i.event = 'intended' AND i.attempt > 1
