-- How messages of which there is something to explain were sent.
-- `attempts`, and how many of them are known to have worked; `last_ended_ns`: the answer to the last one.

CREATE TABLE sends AS
SELECT r.id, count(DISTINCT coalesce(r.attempt, 0)) AS attempts,
       count(*) FILTER (r.event = 'sent' AND r.outcome = 'ok') AS accepted,
       count(*) FILTER (r.event = 'sent' AND coalesce(r.outcome, '') <> 'failed') AS not_refused,
       max(r.at_ns) FILTER (r.event = 'sent') AS last_ended_ns
FROM raw r
SEMI JOIN (SELECT id FROM subjects WHERE what IN ('duplicate', 'loss', 'overtake', 'effect-missing')
           UNION SELECT other FROM rows_found WHERE anomaly = 'group-overtake' AND n > 0) j ON j.id = r.id
WHERE r.event IN ('intended', 'sent')
GROUP BY r.id;
