-- What the settling calls do to the holds: which copy they settle, and the ends of a hold that was extended.

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
