-- Its producer sent it more than once, and more than one of these calls worked. Of: duplicate. Proof: two of its `sent`
-- records are `ok` (not within the deduplication window). Do: do not send again what was accepted; where a producer
-- cannot know, use a FIFO queue with a deduplication id of the message's own
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html).
SELECT j.what, j.s, j.id, j.line, NULL AS instance, NULL AS excess_ns
FROM subjects j JOIN subs u ON u.s = j.s JOIN sends t ON t.id = j.id
WHERE j.what = 'duplicate' AND t.accepted > 1 AND NOT (u.deduplicates AND j.note = 'within');
