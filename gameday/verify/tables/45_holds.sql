-- What the settling calls do to the holds: which copy they settle, and the ends of a hold that was extended.

-- Settling a message in a batch settles that copy of it; one that names no copy may mean any.
CREATE MACRO of_copy(broker_id, copy) AS (broker_id IS NULL OR copy = '' OR broker_id = copy);

-- The extensions of each hold, of all copies that it may be, in the order in which they began. `standing`: see `extended`.
CREATE TABLE extensions AS
SELECT h.id, h.s, h.batch, h.copy,
       list({'began': e.began_ns, 'file': e.file, 'line': e.line, 'answered': e.answered_ns, 'answered_line': e.answered_line, 'ok': e.ok,
             'hidden': coalesce(e.hidden_ns, u.visibility_ns),
             'standing': []::STRUCT(line BIGINT, file INTEGER, answered BIGINT, earliest BIGINT, intended BIGINT,
                                    intended_file INTEGER, latest BIGINT)[]} ORDER BY e.began_ns, e.line) AS extends
FROM settles e
JOIN subs u ON u.s = e.s
JOIN (SELECT DISTINCT r.id, r.s, r.batch, r.copy
      FROM rx r SEMI JOIN settles x ON x.action = 'extend' AND x.id = r.id AND x.s = r.s AND x.batch = r.batch) h
    ON h.id = e.id AND h.s = e.s AND h.batch = e.batch AND of_copy(e.broker_id, h.copy)
WHERE e.action = 'extend' AND e.may_work
GROUP BY h.id, h.s, h.batch, h.copy;

-- Parameters of lambdas end with `_`: one that is named as a caller's table would stand for it in what the caller gives.

-- An earliest end as a moment of the hold's writer that one of the writer `file` is to be compared with. Of the intent's
-- own clock it is the other way: equal to it where that writer asks, apart by the error where the hold's does.
CREATE MACRO earliest_of(end_, hold_file, file) AS
    greatest(end_.earliest, end_.intended + clock_error() * ((file = end_.intended_file)::BIGINT - (file = hold_file)::BIGINT));

-- The ends of a hold after the extensions begun before `moment` (of the writer `moment_file`). Several ends may stand: at
-- first that of the receive. One answered `ok` before the earliest end that stands replaces that of the receive, and
-- those of extensions that had been answered `ok` before it began (`line`: of that answer); whatever else may have worked
-- stands beside them, for nobody knows which of two calls at once the broker took last.
CREATE MACRO ends_standing(ends_at_first, extends, hold_file, moment, moment_file) AS
    list_reduce(
        list_filter(extends, lambda extend_: NOT before(moment, moment_file, extend_.began, hold_file)
                                       AND (extend_.began <> moment OR moment_file <> hold_file)),
        lambda so_far_, extend_: {
            'began': extend_.began, 'file': extend_.file, 'line': extend_.line, 'answered': extend_.answered,
            'answered_line': extend_.answered_line, 'ok': extend_.ok, 'hidden': extend_.hidden,
            'standing': list_append(
                CASE WHEN extend_.ok AND before(extend_.began, hold_file, moment, moment_file)
                          AND before(extend_.answered, extend_.file,
                                     list_min(list_transform(so_far_.standing,
                                                             lambda end_: earliest_of(end_, hold_file, extend_.file))),
                                     hold_file)
                     THEN list_filter(so_far_.standing, lambda end_:
                              end_.line IS NULL OR CASE WHEN end_.line < 0 THEN false
                                                        WHEN end_.file = extend_.file THEN end_.line > extend_.line
                                                        ELSE end_.answered + clock_error() >= extend_.began END)
                     ELSE so_far_.standing END,
                {'line': CASE WHEN extend_.ok THEN extend_.answered_line END, 'file': extend_.file, 'answered': extend_.answered,
                 'earliest': extend_.began + extend_.hidden - broker_tick(), 'intended': NULL::BIGINT, 'intended_file': NULL::INTEGER,
                 'latest': coalesce(extend_.answered + extend_.hidden, 9223372036854775807)})
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
                                      lambda end_: earliest_of(end_, hold_file, moment_file))) END;
-- The same by the times as they were told, whatever the clocks' error.
CREATE MACRO told_end(ends_at_first, extends, hold_file, moment, moment_file) AS
    CASE WHEN extends IS NULL THEN greatest(ends_at_first.started, ends_at_first.intended)
         ELSE list_min(list_transform(ends_standing(ends_at_first, extends, hold_file, moment, moment_file),
                                      lambda end_: greatest(end_.earliest, end_.intended))) END;
CREATE MACRO latest_end(ends_at_first, extends, hold_file, moment, moment_file) AS
    CASE WHEN extends IS NULL THEN ends_at_first.latest
         ELSE list_max(list_transform(ends_standing(ends_at_first, extends, hold_file, moment, moment_file),
                                      lambda end_: end_.latest)) END;
