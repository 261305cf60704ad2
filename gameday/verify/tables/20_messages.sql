-- One row for each logical message that a producer intended: what was meant, and what its attempts came to.
-- `began`: when its first attempt began; `ended`: when its last attempt was answered (NULL while one has no answer); each
-- with a line of the producer's file, which tells the order where the times are equal;
-- `begun_ns`: from when on its send is not its producer's any more: its first `intended`, or the first of its calls that says
-- when it began, whichever is later;
-- `number`, `number_part`: the broker's number in the answer to an `ok` send, and the partition it is of;
-- `unsure`: an attempt of unknown outcome may have stored a copy whose number no answer gave;
-- `one_call`: the call that all its attempts went in, from `first_entry` to `last_entry` of it.

CREATE TABLE messages AS
WITH attempts AS (
    -- Where records leave out which attempt they are of, they are of one, the first.
    SELECT id, coalesce(attempt, 0) AS nth, any_value(run) AS run, arg_min(file, line) AS file,
           -- Of one id that stands for two messages (damage, where nothing is judged) the first speaks.
           arg_min(producer, line) AS producer, arg_min(grp, line) AS grp, arg_min(seq, line) AS seq,
           arg_min(due_ns, line) AS due_ns, arg_min(expect, line) AS expect,
           coalesce(bool_or(poison), false) AS poison, arg_min(effects_key, line) AS effects_key,
           arg_min(tenant_class, line) AS tenant_class,
           min(at_ns) FILTER (event = 'intended') AS intended_ns,
           min(line) FILTER (event = 'intended') AS intended_line,
           -- As often answered as it was intended: a producer that started anew may have sent it twice.
           count(*) FILTER (event = 'sent') >= greatest(count(*) FILTER (event = 'intended'), 1) AS answered,
           min({'ns': at_ns, 'line': line, 'file': file}) FILTER (event = 'intended') AS first_intended,
           -- A `sent` that does not say when its call began may be of one that began right after its intent.
           CASE WHEN bool_and(started_ns IS NOT NULL) FILTER (event = 'sent') OR min(at_ns) FILTER (event = 'intended') IS NULL
                THEN min(coalesce(started_ns, at_ns)) FILTER (event = 'sent') END AS started_ns,
           min(started_ns) FILTER (event = 'sent') AS called_ns,
           max({'ns': at_ns, 'line': line}) FILTER (event = 'sent') AS ended,
           coalesce(bool_or(outcome = 'ok') FILTER (event = 'sent'), false) AS ok,
           coalesce(bool_and(coalesce(outcome, '') = 'failed') FILTER (event = 'sent'), false) AS failed,
           min({'number': sequence_key(broker_seq), 'part': part})
               FILTER (event = 'sent' AND outcome = 'ok' AND sequence_key(broker_seq) IS NOT NULL) AS stored,
           max(sequence_key(broker_seq)) FILTER (event = 'sent' AND outcome = 'ok') AS number_max,
           bool_or(coalesce(outcome, '') NOT IN ('ok', 'failed')) FILTER (event = 'sent') AS unsure,
           min(call) FILTER (event = 'sent') AS least_call, max(call) FILTER (event = 'sent') AS greatest_call,
           bool_and(call IS NOT NULL) FILTER (event = 'sent') AS called,
           min(entry) FILTER (event = 'sent') AS first_entry, max(entry) FILTER (event = 'sent') AS last_entry,
           arg_min(part, line) FILTER (event = 'sent' AND outcome = 'ok') AS sent_part
    FROM raw
    WHERE event IN ('intended', 'sent') AND id IS NOT NULL
    GROUP BY id, nth
)
SELECT id, any_value(run) AS run,
       arg_min(file, nth) AS file,
       arg_min(producer, nth) AS producer, arg_min(grp, nth) AS grp, arg_min(seq, nth) AS seq,
       arg_min(due_ns, nth) AS due_ns, arg_min(expect, nth) AS expect, bool_or(poison) AS poison,
       arg_min(effects_key, nth) AS effects_key, arg_min(tenant_class, nth) AS tenant_class,
       min(intended_ns) AS intended_ns, min(first_intended) AS first_intended,
       CASE WHEN bool_or(ok) THEN 'acked' WHEN bool_and(failed AND answered) THEN 'failed' ELSE 'unknown' END AS status,
       min({'ns': CASE WHEN answered THEN coalesce(started_ns, intended_ns) ELSE least(started_ns, intended_ns) END,
            'line': coalesce(intended_line, 0)}) AS began,
       greatest(min(intended_ns), min(called_ns)) AS begun_ns,
       CASE WHEN bool_and(answered) THEN max(ended) END AS ended,
       min(stored).number AS number, max(number_max) AS number_max,
       NOT bool_and(answered) OR coalesce(bool_or(unsure), false) AS unsure,
       coalesce(min(stored).part, arg_min(sent_part, nth)) AS number_part,
       CASE WHEN bool_and(answered AND coalesce(called, false)) AND min(least_call) = max(greatest_call)
            THEN min(least_call) END AS one_call,
       min(first_entry) AS first_entry, max(last_entry) AS last_entry
FROM attempts
GROUP BY id;

CREATE VIEW expected AS
SELECT DISTINCT id, unnest(expect) AS s FROM messages WHERE expect IS NOT NULL;
