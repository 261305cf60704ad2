-- The subscriptions with records that cannot be told (15_identified.sql), and what the whole history says of them.
-- `everyone`: any message may be theirs, for the answers name other copies than those received there (a topic's are not its
-- queues'), or a dead letter that cannot be told has another name than what is received (some services give it a new one),
-- or there was a replay.

CREATE TABLE troubled AS
WITH here AS (
    SELECT s, run, kind FROM subs WHERE s IN (SELECT s FROM unidentified)
), named_by_answers AS (
    SELECT DISTINCT r.s
    FROM (SELECT r.run, r.s, t.kind, copy_name(t.kind, r.broker_id, r.part, r.broker_seq) AS name
          FROM raw r JOIN here t ON t.s = r.s WHERE r.event = 'received') r
    SEMI JOIN answers a ON a.run = r.run AND a.kind = r.kind AND a.name = r.name
), dead_by_other_names AS (
    SELECT DISTINCT x.s FROM unidentified x
    ANTI JOIN (SELECT r.s, copy_name(t.kind, r.broker_id, r.part, r.broker_seq) AS name
               FROM raw r JOIN here t ON t.s = r.s WHERE r.event = 'received') r ON r.s = x.s AND r.name = x.name
    WHERE x.event IN ('dead', 'redriven')
)
SELECT s, run, kind,
       s NOT IN (FROM named_by_answers) OR s IN (FROM dead_by_other_names)
       OR run IN (SELECT run FROM raw WHERE event = 'mark' AND name IN ('replay-started', 'replay-ended')) AS everyone
FROM here;

-- The messages whose answers name a copy that cannot be told.
CREATE TABLE perhaps_theirs AS
SELECT DISTINCT x.s, a.id
FROM unidentified x JOIN troubled t ON t.s = x.s JOIN answered a ON a.run = x.run AND a.kind = t.kind AND a.name = x.name;
