-- The subscription promises no more than at most once. Of: loss. Proof: `promises` of the subscription is
-- `at-most-once`, and it was never received. Do: do not rest anything on that each message comes; an SNS FIFO topic
-- delivers at most once where a filter stands before the subscription
-- (docs.aws.amazon.com/sns/latest/dg/fifo-message-filtering.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id
WHERE j.what = 'loss' AND p.at_most_once AND NOT p.received;
