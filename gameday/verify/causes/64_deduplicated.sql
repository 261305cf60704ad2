-- It was taken for another message that had been sent before, and dropped as its repetition. Of: loss. Proof: the
-- answer to its send names the `broker_id` that the answer to another message's send had named before. Do: give each
-- message a deduplication id of its own; content-based deduplication drops what has the same body within five minutes
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html).
SELECT DISTINCT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j
JOIN raw m ON m.event = 'sent' AND m.outcome = 'ok' AND m.id = j.id AND m.broker_id IS NOT NULL
JOIN raw o ON o.event = 'sent' AND o.outcome = 'ok' AND o.broker_id = m.broker_id AND o.run = m.run AND o.id <> m.id
    AND CASE WHEN o.file = m.file THEN o.line < m.line ELSE o.at_ns < m.at_ns END
WHERE j.what = 'loss';
