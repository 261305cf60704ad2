-- The other message was sent before the answer to this one's send was there. Of: overtake. Proof: of two sends of one
-- producer in one group the later in `seq` was begun before the earlier was answered, and the service stored them in
-- that order. Do: within a group send the next message only when the one before is answered
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html).
SELECT DISTINCT 'overtake' AS what, o.s, o.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM overtaken o JOIN messages a ON a.id = o.late JOIN messages b ON b.id = o.first
WHERE o.anomaly IN ('stored-out-of-order', 'effect-out-of-order') AND a.ended.ns > b.began.ns AND a.grp = b.grp
  AND (o.s, o.id) NOT IN (SELECT (s, id) FROM misordered);
