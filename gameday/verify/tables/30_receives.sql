-- One row per `received`. `copy`: on a queue the broker's id of the message, on a stream its place in its partition.
-- `bare`: all that is known of it is that a function was invoked with it. `contradicts`: by the declared clocks it was received before it was intended.
-- On a queue it is a hold. `ends`: its two ends as no extension moved them (45_holds.sql has the extensions). The earliest
-- is the later of two moments on the clocks of two writers: by the call's start, and by the message's first intent.

CREATE TABLE rx AS
SELECT r.line, r.file, r.at_ns, r.started_ns, r.id, r.s, r.consumer, r.batch,
       coalesce(CASE u.kind WHEN 'stream' THEN r.part || ':' || sequence_key(r.broker_seq) ELSE r.broker_id END, '')
           AS copy,
       -- A number of a stream is one of its partition: where that is not told, it tells nothing.
       CASE WHEN u.kind IS DISTINCT FROM 'stream' OR r.part IS NOT NULL THEN sequence_key(r.broker_seq) END AS number, r.part,
       r.grp, r.receives, r.enqueued_ns, r.intact, r.listed > 0 AS bare,
       r.replay, coalesce(record_before(r.at_ns, r.file, r.line, m.first_intended.ns, m.first_intended.file, m.first_intended.line),
                false) AS contradicts,
       CASE WHEN u.kind = 'queue'
            THEN {'started': r.started_ns + coalesce(ns(r.hidden_s), u.visibility_ns) - broker_tick(),
                  'intended': m.first_intended.ns + coalesce(ns(r.hidden_s), u.visibility_ns) - broker_tick(),
                  'intended_file': m.first_intended.file,
                  'latest': r.at_ns + coalesce(ns(r.hidden_s), u.visibility_ns)}
       END AS ends
FROM raw r
JOIN subs u ON u.s = r.s
LEFT JOIN messages m ON m.id = r.id
WHERE r.event = 'received' AND r.id IS NOT NULL;


-- Records of a message that are earlier than its first `intended`, though its writers' clocks are said to agree better.
CREATE VIEW contradictions AS
SELECT 'received' AS event, x.line, x.file, x.id, m.first_intended.ns - x.at_ns AS early_ns
FROM rx x JOIN messages m ON m.id = x.id WHERE x.contradicts
UNION ALL
SELECT 'dead', r.line, r.file, r.id, m.first_intended.ns - r.at_ns
FROM raw r JOIN messages m ON m.id = r.id
WHERE r.event = 'dead' AND r.s IS NOT NULL
  AND record_before(r.at_ns, r.file, r.line, m.first_intended.ns, m.first_intended.file, m.first_intended.line);

CREATE VIEW dead_letters AS
SELECT line, file, at_ns, id, s, receives FROM raw WHERE event = 'dead' AND id IS NOT NULL AND s IS NOT NULL;

CREATE VIEW redrives AS
SELECT line, file, at_ns, id, s FROM raw WHERE event = 'redriven' AND id IS NOT NULL AND s IS NOT NULL;
