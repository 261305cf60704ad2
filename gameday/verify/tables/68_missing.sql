-- Messages that did not come: acked, expected, never received but from a replay, nor dead. `proven`: by a drain, or by a
-- later message of its group (70_order.sql). Where nobody recorded who received what, nothing is missing; nor is what a
-- step of an execution was not asked for that was stopped on purpose (`cut_short`).

CREATE VIEW absent AS
SELECT p.*, u.step IS NOT NULL AND p.id IN (SELECT g.id FROM steerings g JOIN executions e ON e.id = g.id AND e.arn = g.arn
                                            WHERE g.action = 'stop') AS stopped
FROM pairs p JOIN subs u ON u.s = p.s
WHERE p.acked AND p.expected AND NOT p.first_hand AND NOT p.dead AND p.seen_from <> 'nobody';

CREATE TABLE cut_short AS SELECT run, s, id FROM absent WHERE stopped;

CREATE TABLE missing AS
SELECT s, id, provable, drained AND provable AS proven
FROM (
    SELECT *, NOT in_doubt
              -- Somebody went past the proxy: what had its effect was received, and where it saw nothing it was not asked.
              AND NOT (seen_from = 'wire' AND (applied > 0 OR s NOT IN (SELECT s FROM heard_on)))
              -- A service may have given up what was invoked unrecorded.
              AND s NOT IN (SELECT s FROM subs WHERE gives_up AND NOT all_invoked) AS provable
    FROM absent
)
WHERE NOT stopped;
