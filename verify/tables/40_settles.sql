-- One row per delete, release, extend or checkpoint: its intent (`settling`) with its answer (`settled`).
-- It began at its intent, or where there is none when the call started. An answer belongs to the last intent before its
-- call, unless that has one already: then its own intent is not recorded. `may_work`: it is not proven to have failed.

CREATE TABLE settles AS
WITH told AS (
    SELECT line, file, at_ns, event, id, s, consumer, batch, action, broker_id, part, broker_seq, hidden_s, outcome,
           CASE WHEN action = 'checkpoint' THEN broker_seq END AS position,
           CASE event WHEN 'settling' THEN at_ns ELSE coalesce(started_ns, at_ns) END AS began_ns
    FROM raw
    WHERE event IN ('settling', 'settled') AND s IS NOT NULL
), numbered AS (
    SELECT *, count(*) FILTER (event = 'settling') OVER (
               PARTITION BY batch, id, action, s, consumer, part, broker_id, position
               ORDER BY began_ns, event DESC, line ROWS UNBOUNDED PRECEDING) AS nth
    FROM told
), paired AS (
    SELECT *, CASE event WHEN 'settling' THEN 1 ELSE row_number() OVER (
               PARTITION BY batch, id, action, s, consumer, part, broker_id, position, nth, event
               ORDER BY began_ns, line) END AS answer
    FROM numbered
)
SELECT id, s, consumer, batch, action, part, any_value(file) AS file,
       min(line) AS line,
       min(began_ns) AS began_ns,
       max(at_ns) FILTER (event = 'settled') AS answered_ns,
       coalesce(bool_or(outcome = 'ok') FILTER (event = 'settled'), false) AS ok,
       NOT coalesce(bool_and(coalesce(outcome, '') = 'failed') FILTER (event = 'settled'), false) AS may_work,
       any_value(ns(hidden_s)) AS hidden_ns,
       broker_id,
       sequence_key(any_value(broker_seq)) AS number
FROM paired
GROUP BY id, s, consumer, batch, action, part, broker_id, position, nth, answer;

-- Settling a message in a batch settles that copy of it; one that names no copy may mean any.
CREATE MACRO of_copy(broker_id, copy) AS (broker_id IS NULL OR copy = '' OR broker_id = copy);

-- The extensions of each hold, in the order in which they began.
CREATE TABLE extensions AS
SELECT e.id, e.s, e.batch, e.broker_id, any_value(e.file) AS file,
       list({'began': e.began_ns, 'answered': e.answered_ns, 'ok': e.ok,
             'hidden': coalesce(e.hidden_ns, u.visibility_ns),
             'earliest': 0::BIGINT, 'latest': 0::BIGINT} ORDER BY e.began_ns, e.line) AS extends
FROM settles e JOIN subs u ON u.s = e.s
WHERE e.action = 'extend' AND e.may_work
GROUP BY e.id, e.s, e.batch, e.broker_id;

-- The ends of a hold after the extensions begun before `moment` (of the writer `moment_file`): each that was answered
-- `ok` before the earliest end replaces both ends; any other that may have worked, or may have begun before, widens.
CREATE MACRO extended(earliest_ns, latest_ns, extends, hold_file, moment, moment_file) AS
    list_reduce(
        list_filter(extends, lambda x: NOT before(moment, moment_file, x.began, hold_file)
                                       AND (x.began <> moment OR moment_file <> hold_file)),
        lambda ends, x: CASE
            WHEN x.ok AND x.answered < ends.earliest AND before(x.began, hold_file, moment, moment_file)
            THEN {'began': x.began, 'answered': x.answered, 'ok': x.ok, 'hidden': x.hidden,
                  'earliest': x.began + x.hidden - broker_tick(), 'latest': x.answered + x.hidden}
            ELSE {'began': x.began, 'answered': x.answered, 'ok': x.ok, 'hidden': x.hidden,
                  'earliest': least(ends.earliest, x.began + x.hidden - broker_tick()),
                  'latest': greatest(ends.latest, coalesce(x.answered + x.hidden, 9223372036854775807))}
        END,
        {'began': 0::BIGINT, 'answered': 0::BIGINT, 'ok': false, 'hidden': 0::BIGINT,
         'earliest': earliest_ns, 'latest': latest_ns}
    );
