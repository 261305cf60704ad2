-- One row per delete, release, extend or checkpoint: its intent (`settling`) with its answer (`settled`), both of one file.
-- It began at its intent, or where there is none when the call started. While no more than one intent is open, an answer
-- is that one's, whatever its times say; where several were open at once (`tangled`) gameday/verify/pairing.py pairs them.
-- `may_work`: it is not proven to have failed. `settlings`: those records of both kinds that are looked at (gameday/verify/load.py).

CREATE TABLE told AS
WITH lines AS (
    SELECT line, file, at_ns, started_ns, event, id, s, consumer, batch, action, broker_id, part, broker_seq, hidden_s,
           outcome, call, CASE WHEN action = 'checkpoint' THEN broker_seq END AS position
    FROM settlings
), numbered AS (
    SELECT *, lag(event) OVER in_line AS event_before, count(*) FILTER (event = 'settling') OVER in_line AS nth
    FROM lines
    WINDOW in_line AS (PARTITION BY file, batch, id, action, s, part, broker_id, position ORDER BY line)
)
SELECT *, event = 'settled' AND coalesce(event_before = 'settling', false) AS answers,
       coalesce(bool_or(event = 'settling' AND event_before = 'settling')
                OVER (PARTITION BY file, batch, id, action, s, part, broker_id, position), false) AS tangled
FROM numbered;

CREATE TABLE settles AS
SELECT id, s, arg_min(consumer, line) AS consumer, batch, action, part, file,
       min(line) AS line,
       min(CASE event WHEN 'settling' THEN at_ns ELSE coalesce(started_ns, at_ns) END) FILTER (NOT answers) AS began_ns,
       max(at_ns) FILTER (event = 'settled') AS answered_ns,
       max(line) FILTER (event = 'settled') AS answered_line,
       coalesce(bool_or(outcome = 'ok') FILTER (event = 'settled'), false) AS ok,
       NOT coalesce(bool_and(coalesce(outcome, '') = 'failed') FILTER (event = 'settled'), false) AS may_work,
       arg_min(ns(hidden_s), line) AS hidden_ns,
       broker_id,
       sequence_key(arg_min(broker_seq, line)) AS number
FROM told
WHERE NOT tangled
GROUP BY id, s, batch, action, part, broker_id, position, file, nth,
         CASE WHEN event = 'settling' OR answers THEN -1 ELSE line END;
