-- The records of effects, whichever records of the history there are.

CREATE VIEW effect_records AS
-- One that does not say when its write began may have begun it at any time.
SELECT line, file, at_ns, coalesce(started_ns, 0) AS started_ns, id, s, batch, consumer, outcome
FROM raw WHERE event = 'effect' AND id IS NOT NULL AND s IS NOT NULL;
