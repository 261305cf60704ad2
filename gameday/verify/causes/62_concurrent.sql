-- Two messages of one group were in hand at once, and the later one was done first. Of: overtake. Proof: the one that
-- came too late had been received before the effect of the other was applied, and its own was applied after that. Do:
-- work through a group one message after another, in the order of the batch; and let what a consumer that lost its hold
-- still does be refused
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html).
SELECT 'overtake' AS what, s, id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM handled_late WHERE in_hand AND (s, id) NOT IN (SELECT (s, id) FROM misordered);
