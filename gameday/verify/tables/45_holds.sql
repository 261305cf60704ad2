-- What the settling calls do to the holds: which copy they settle, and the ends of a hold that was extended.

-- Settling a message in a batch settles that copy of it; one that names no copy may mean any.
CREATE MACRO of_copy(broker_id, copy) AS (broker_id IS NULL OR copy = '' OR broker_id = copy);

-- The extensions of each hold, in the order in which they began. `standing`: see `extended`.
CREATE TABLE extensions AS
SELECT e.id, e.s, e.batch, e.broker_id, any_value(e.file) AS file,
       list({'began': e.began_ns, 'file': e.file, 'line': e.line, 'answered': e.answered_ns, 'answered_line': e.answered_line, 'ok': e.ok,
             'hidden': coalesce(e.hidden_ns, u.visibility_ns),
             'standing': []::STRUCT(line BIGINT, file INTEGER, answered BIGINT, earliest BIGINT, intended BIGINT,
                                    intended_file INTEGER, latest BIGINT)[]} ORDER BY e.began_ns, e.line) AS extends
FROM settles e JOIN subs u ON u.s = e.s
WHERE e.action = 'extend' AND e.may_work
GROUP BY e.id, e.s, e.batch, e.broker_id;

-- An earliest end as a moment of the hold's writer that one of the writer `file` is to be compared with. Of the intent's
-- own clock it is the other way: equal to it where that writer asks, apart by the error where the hold's does.
CREATE MACRO earliest_of(e, hold_file, file) AS
    greatest(e.earliest, e.intended + clock_error() * ((file = e.intended_file)::BIGINT - (file = hold_file)::BIGINT));

-- The ends of a hold after the extensions begun before `moment` (of the writer `moment_file`). Several ends may stand: at
-- first that of the receive. One answered `ok` before the earliest end that stands replaces that of the receive, and
-- those of extensions that had been answered `ok` before it began (`line`: of that answer); whatever else may have worked
-- stands beside them, for nobody knows which of two calls at once the broker took last.
CREATE MACRO ends_standing(ends_at_first, extends, hold_file, moment, moment_file) AS
    list_reduce(
        list_filter(extends, lambda x: NOT before(moment, moment_file, x.began, hold_file)
                                       AND (x.began <> moment OR moment_file <> hold_file)),
        lambda ends, x: {
            'began': x.began, 'file': x.file, 'line': x.line, 'answered': x.answered, 'answered_line': x.answered_line, 'ok': x.ok,
            'hidden': x.hidden,
            'standing': list_append(
                CASE WHEN x.ok AND before(x.began, hold_file, moment, moment_file)
                          AND before(x.answered, x.file, list_min(list_transform(ends.standing, lambda e: earliest_of(e, hold_file, x.file))), hold_file)
                     THEN list_filter(ends.standing, lambda e: e.line IS NULL OR CASE WHEN e.line < 0 THEN false
                                                                    WHEN e.file = x.file THEN e.line > x.line
                                                                    ELSE e.answered + clock_error() >= x.began END)
                     ELSE ends.standing END,
                {'line': CASE WHEN x.ok THEN x.answered_line END, 'file': x.file, 'answered': x.answered,
                 'earliest': x.began + x.hidden - broker_tick(), 'intended': NULL::BIGINT, 'intended_file': NULL::INTEGER,
                 'latest': coalesce(x.answered + x.hidden, 9223372036854775807)})
        },
        {'began': 0::BIGINT, 'file': 0::INTEGER, 'line': 0::BIGINT, 'answered': 0::BIGINT, 'answered_line': 0::BIGINT, 'ok': false,
         'hidden': 0::BIGINT,
         'standing': [{'line': -1::BIGINT, 'file': 0::INTEGER, 'answered': 0::BIGINT, 'earliest': coalesce(ends_at_first.started, -9223372036854775807)::BIGINT,
                       'intended': ends_at_first.intended, 'intended_file': ends_at_first.intended_file,
                       'latest': coalesce(ends_at_first.latest, 9223372036854775807)::BIGINT}]}
    ).standing;
CREATE MACRO earliest_end(ends_at_first, extends, hold_file, moment, moment_file) AS
    CASE WHEN extends IS NULL
         THEN earliest_of({'earliest': ends_at_first.started, 'intended': ends_at_first.intended,
                           'intended_file': ends_at_first.intended_file}, hold_file, moment_file)
         ELSE list_min(list_transform(ends_standing(ends_at_first, extends, hold_file, moment, moment_file),
                                      lambda e: earliest_of(e, hold_file, moment_file))) END;
-- The same by the times as they were told, whatever the clocks' error.
CREATE MACRO told_end(ends_at_first, extends, hold_file, moment, moment_file) AS
    CASE WHEN extends IS NULL THEN greatest(ends_at_first.started, ends_at_first.intended)
         ELSE list_min(list_transform(ends_standing(ends_at_first, extends, hold_file, moment, moment_file),
                                      lambda e: greatest(e.earliest, e.intended))) END;
CREATE MACRO latest_end(ends_at_first, extends, hold_file, moment, moment_file) AS
    CASE WHEN extends IS NULL THEN ends_at_first.latest
         ELSE list_max(list_transform(ends_standing(ends_at_first, extends, hold_file, moment, moment_file),
                                      lambda e: e.latest)) END;
