-- Deletes, releases and extensions on queues that may have worked and are of no told message. Those that name a copy which
-- cannot be told may be of any message in doubt; those that name none (`unnamed`), of any message that was received in
-- their batch. Where no receive of that batch tells its message, or there is no batch: of any at all.

CREATE TABLE of_any AS
SELECT c.s, c.broker_id, c.action, c.began_ns, c.file, c.line, c.broker_id IS NULL AS unnamed,
       CASE WHEN (c.s, c.batch) IN (SELECT (s, batch) FROM raw
                                    WHERE event = 'received' AND id IS NOT NULL AND s IS NOT NULL AND batch IS NOT NULL)
             AND (c.s, c.batch) NOT IN (SELECT (r.s, r.batch) FROM raw r JOIN unidentified x ON x.line = r.line
                                        WHERE r.event = 'received' AND r.batch IS NOT NULL)
            THEN c.batch END AS batch
FROM settles c JOIN subs u ON u.s = c.s
WHERE u.kind = 'queue' AND c.action <> 'checkpoint' AND c.may_work AND c.id IS NULL;
