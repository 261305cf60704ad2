-- One row per receive that is one of an invocation, where functions are invoked: when the invocation began, and what its
-- answers say of that message. Where functions record themselves, any receive on a subscription that the service settles.
-- `failed`: each answer fails it; `blamed`: one does; `may_be_done`: one says that it is done; `done`: each does. On a stream
-- a partial answer leaves open what will come again, and on a queue one that names a stranger, which nobody knows what the
-- service made of. `answered_ns`: the first answer.

CREATE TABLE handlings AS
SELECT x.line, x.s, x.id, x.batch, x.copy,
       coalesce(any_value(i.invoked), {'ns': any_value(x.at_ns), 'file': any_value(x.file), 'line': x.line}) AS began,
       any_value(i.invoked) IS NOT NULL AS recorded,
       coalesce(bool_and(a.outcome = 'failed' OR list_contains(a.failed, x.id)), false) AS failed,
       coalesce(bool_or(a.outcome = 'failed' OR list_contains(a.failed, x.id)), false) AS blamed,
       coalesce(bool_or(a.outcome = 'ok' AND NOT list_contains(a.failed, x.id)), false) AS may_be_done,
       coalesce(bool_and(a.outcome = 'ok' AND NOT list_contains(a.failed, x.id) AND CASE u.kind WHEN 'queue' THEN t.batch IS NULL ELSE len(a.failed) = 0 END),
                false) AS done,
       min(a.at_ns) AS answered_ns
FROM rx x JOIN invoking u ON u.s = x.s
LEFT JOIN invocations i ON i.s = x.s AND i.batch = x.batch
LEFT JOIN answers_given a ON a.s = x.s AND a.batch = x.batch
LEFT JOIN astray t ON t.s = x.s AND t.batch = x.batch
WHERE i.batch IS NOT NULL OR (u.by_service AND NOT u.all_invoked)
GROUP BY x.line, x.s, x.id, x.batch, x.copy;
