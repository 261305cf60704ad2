-- The replays of an archive.

CREATE TABLE replays AS
SELECT run, replay, max(since_ns) AS since_ns, min(until_ns) AS until_ns,
       bool_or(name = 'replay-ended' AND coalesce(outcome, '') = 'ok') AS ended
FROM raw
WHERE event = 'mark' AND name IN ('replay-started', 'replay-ended') AND replay IS NOT NULL
GROUP BY run, replay;
