-- Executions of a workflow, the tasks that consumers were asked for, and the answers to their tokens.

-- One row per execution and message that it is of: its last record; `answered`, when a start was first answered with it;
-- and whether it was stopped on purpose, as far as its last record goes.
CREATE TABLE executions AS
WITH told AS (
    SELECT id, arn,
           arg_max({'status': status, 'at_ns': at_ns, 'file': file, 'line': line, 'started_ns': started_ns,
                    'stopped_ns': stopped_ns, 'redrives': redrives}, (at_ns, line)) AS last
    FROM raw WHERE event = 'execution' AND id IS NOT NULL AND arn IS NOT NULL
    GROUP BY id, arn
), named AS (
    SELECT id, broker_id AS arn, min({'at_ns': at_ns, 'line': line, 'file': file}) AS answered
    FROM raw WHERE event = 'sent' AND outcome = 'ok' AND id IS NOT NULL AND broker_id IS NOT NULL
    GROUP BY id, broker_id
)
SELECT id, arn, m.run, w.workflow, t.last, n.answered,
       coalesce(t.last.status = 'aborted', false) AND (id, arn) IN (SELECT (id, arn) FROM steerings WHERE action = 'stop') AS stopped
FROM told t FULL JOIN named n USING (id, arn)
JOIN messages m USING (id)
JOIN runs w ON w.run = m.run AND w.workflow IS NOT NULL;

-- Of each message that was intended, where its executions can be told of: when a start of it was first accepted, and
-- `may_begin_ns`, before when none may have been, where that is proven. `error_ns`: how far these may be off.
CREATE TABLE starts AS
SELECT m.id, m.run, m.status, m.due_ns, greatest(m.begun_ns, m.due_ns) AS begun_ns, a.answered_ns,
       CASE WHEN a.told THEN a.may_begin_ns END AS may_begin_ns, a.error_ns
FROM messages m
JOIN runs w ON w.run = m.run AND w.workflow IN ('standard', 'express-sync')
JOIN (
    SELECT id, min(at_ns) FILTER (event = 'sent' AND outcome = 'ok') AS answered_ns,
           min(started_ns) FILTER (event = 'sent' AND outcome <> 'failed') AS may_begin_ns,
           count(*) FILTER (event = 'sent') >= count(*) FILTER (event = 'intended')
               AND count(*) FILTER (event = 'sent' AND outcome <> 'failed' AND started_ns IS NULL) = 0 AS told,
           CASE WHEN count(DISTINCT file) = 1 THEN 0 ELSE clock_error() END AS error_ns
    FROM raw WHERE event IN ('intended', 'sent') AND id IS NOT NULL GROUP BY id
) a ON a.id = m.id
WHERE m.intended_ns IS NOT NULL;

-- The receives that tell their task; `item` is -1 of one that is in no map.
CREATE VIEW task_receives AS
SELECT r.line, r.file, r.at_ns, r.id, r.s, r.execution, coalesce(r.item, -1) AS item, r.batch, nullif(r.broker_id, '') AS copy
FROM raw r JOIN subs u ON u.s = r.s AND u.step IS NOT NULL
WHERE r.event = 'received' AND r.id IS NOT NULL AND r.execution IS NOT NULL;

-- Of each message whose start somebody waited for, and which has several executions: how many, and how many starts of it
-- may have been accepted.
CREATE VIEW several_executions AS
SELECT m.id, e.executions, b.starts
FROM messages m JOIN runs w ON w.run = m.run AND w.workflow = 'express-sync'
JOIN (
    SELECT id, count(*) AS executions
    FROM (SELECT id, arn FROM executions UNION SELECT id, execution FROM task_receives)
    GROUP BY id HAVING count(*) > 1
) e ON e.id = m.id
JOIN (
    SELECT id, greatest(count(*) FILTER (event = 'intended'), count(*) FILTER (event = 'sent'))
               - count(*) FILTER (event = 'sent' AND outcome = 'failed') AS starts
    FROM raw WHERE event IN ('intended', 'sent') AND id IS NOT NULL GROUP BY id
) b ON b.id = m.id;

-- One row per copy of a task, by its first receive.
CREATE TABLE task_copies AS
SELECT id, s, execution, item, copy, arg_min({'at_ns': at_ns, 'file': file, 'line': line}, (at_ns, file, line)) AS first
FROM task_receives WHERE copy IS NOT NULL
GROUP BY ALL;

CREATE VIEW execution_redrives AS SELECT id, arn, at_ns, file, line FROM steerings WHERE action = 'redrive';

-- The executions that were redriven, and by nobody but those who recorded it; with what was asked for, by proof, before.
CREATE VIEW asked_before_redrives AS
SELECT g.id, g.execution, g.s, min(g.line) AS line
FROM task_receives g
JOIN execution_redrives r ON r.id = g.id AND r.arn = g.execution
ANTI JOIN (
    SELECT x.id, x.arn FROM raw x
    LEFT JOIN (SELECT id, arn, count(*) AS n FROM execution_redrives GROUP BY id, arn) k ON k.id = x.id AND k.arn = x.arn
    WHERE x.event = 'execution' GROUP BY x.id, x.arn HAVING max(x.redrives) > coalesce(any_value(k.n), 0)
) o ON o.id = g.id AND o.arn = g.execution
GROUP BY g.id, g.execution, g.s, g.file, g.line, g.at_ns
HAVING bool_and(before(g.at_ns, g.file, r.at_ns, r.file));

-- One row per task. `applied`: how often its effect stands, by the store where that was read back, else by the records;
-- `unknown`: nobody knows. `failed`: a handler of it failed, or said so.
CREATE TABLE tasks AS
WITH got AS (
    SELECT g.id, g.s, g.execution, g.item, min(g.line) AS line,
           bool_or(h.line IS NULL) AS unhandled, bool_or(g.copy IS NULL) AS nameless
    FROM task_receives g
    LEFT JOIN raw h ON h.event = 'step' AND h.id = g.id AND h.s = g.s AND h.execution = g.execution
        AND coalesce(h.item, -1) = g.item AND h.batch = g.batch
    GROUP BY g.id, g.s, g.execution, g.item
), done AS (
    SELECT id, s, execution, coalesce(item, -1) AS item, count(*) FILTER (outcome = 'applied') AS applied,
           bool_or(outcome = 'failed') AS failed,
           list(line ORDER BY at_ns, file, line) FILTER (outcome = 'applied') AS lines
    FROM raw WHERE event = 'step' AND id IS NOT NULL AND s IS NOT NULL AND execution IS NOT NULL
    GROUP BY ALL
), stored AS (
    SELECT id, s, execution, coalesce(item, -1) AS item, arg_max(applied, line) AS applied
    FROM raw WHERE event = 'steps' AND id IS NOT NULL AND s IS NOT NULL AND execution IS NOT NULL
    GROUP BY ALL
), given_up AS (
    SELECT DISTINCT id, s, execution, coalesce(item, -1) AS item
    FROM raw WHERE event IN ('answering', 'answered') AND answer = 'failure' AND id IS NOT NULL AND s IS NOT NULL
        AND execution IS NOT NULL
), everyone AS (
    SELECT id, s, execution, item FROM got UNION SELECT id, s, execution, item FROM done
    UNION SELECT id, s, execution, item FROM stored
)
SELECT t.id, t.s, t.execution, t.item, u.run, g.id IS NOT NULL AS received, g.line,
       coalesce(g.nameless, false) AS nameless,
       -- What comes after it was asked for before any redrive, so it was over.
       EXISTS (SELECT 1 FROM asked_before_redrives b WHERE b.id = t.id AND b.execution = t.execution
               AND list_contains(u.followed_by, b.s)) AS over_before_redrive,
       CASE WHEN b.s IS NOT NULL THEN coalesce(st.applied, 0) ELSE coalesce(d.applied, 0) END AS applied,
       b.s IS NULL AND coalesce(g.unhandled, false) AS unknown,
       coalesce(d.failed, false) OR f.id IS NOT NULL AS failed, d.lines,
       coalesce(p.ever_dead, false) AS ever_dead, coalesce(p.in_doubt, false) AS in_doubt, z.drained,
       e.last.status AS status
FROM everyone t
JOIN subs u ON u.s = t.s AND u.step IS NOT NULL
JOIN drains z ON z.s = t.s
LEFT JOIN got g ON g.id = t.id AND g.s = t.s AND g.execution = t.execution AND g.item = t.item
LEFT JOIN done d ON d.id = t.id AND d.s = t.s AND d.execution = t.execution AND d.item = t.item
LEFT JOIN stored st ON st.id = t.id AND st.s = t.s AND st.execution = t.execution AND st.item = t.item
LEFT JOIN given_up f ON f.id = t.id AND f.s = t.s AND f.execution = t.execution AND f.item = t.item
LEFT JOIN steps_read b ON b.s = t.s
LEFT JOIN pairs p ON p.id = t.id AND p.s = t.s
LEFT JOIN executions e ON e.id = t.id AND e.arn = t.execution;

-- One row per token that was sent back: how often it was accepted, and how often nobody knows that.
CREATE TABLE tokens AS
SELECT r.id, r.s, any_value(u.run) AS run, r.token,
       count(*) FILTER (r.event = 'answered' AND r.outcome = 'ok') AS accepted,
       count(*) FILTER (r.event = 'answering') > count(*) FILTER (r.event = 'answered' AND r.outcome IN ('ok', 'failed')) AS unsure,
       list(r.line ORDER BY r.at_ns, r.file, r.line) FILTER (r.event = 'answered' AND r.outcome = 'ok') AS lines
FROM raw r JOIN subs u ON u.s = r.s AND u.step IS NOT NULL
WHERE r.event IN ('answering', 'answered') AND r.token IS NOT NULL AND r.id IS NOT NULL
GROUP BY r.id, r.s, r.token;

-- How many items the maps of an execution that succeeded went over: NULL where nobody said it.
CREATE TABLE mapped AS
SELECT e.id, e.run, e.arn, i.items
FROM executions e
LEFT JOIN (SELECT id, arg_min(items, (coalesce(attempt, 0), line)) AS items FROM raw WHERE event = 'intended' GROUP BY id) i
    ON i.id = e.id
WHERE e.last.status = 'succeeded';
