-- An attempt to send it had no answer that told whether it worked, and the next one was stored as well, or later. Of:
-- duplicate, overtake. Proof: it has several attempts, and not each but one is known to have failed (duplicate: not
-- within the deduplication window; overtake: the other message was begun before the last attempt was answered). Do:
-- send in order, one at a time for each group, until the answer is there; on FIFO queues try again within the five
-- minutes of deduplication, elsewhere expect duplicates
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html).
SELECT j.what, j.s, j.id, j.line, NULL AS instance,
       CASE WHEN j.note = 'outside' THEN x.enqueued_ns - o.enqueued_ns - u.dedup_window_ns END AS excess_ns
FROM subjects j JOIN subs u ON u.s = j.s JOIN sends t ON t.id = j.id
LEFT JOIN rx x ON x.line = j.line AND x.s = j.s AND x.id = j.id
LEFT JOIN rx o ON o.line = j.other_line AND o.s = j.s AND o.id = j.id
WHERE j.what = 'duplicate' AND t.attempts > 1 AND t.not_refused > 1 AND t.accepted < t.not_refused
  AND NOT (u.deduplicates AND j.note = 'within')
UNION ALL
SELECT DISTINCT 'overtake', o.s, o.id, NULL::BIGINT, NULL, NULL::BIGINT
FROM overtaken o JOIN sends t ON t.id = o.late JOIN messages f ON f.id = o.first
WHERE o.anomaly IN ('stored-out-of-order', 'effect-out-of-order', 'nonmonotonic-delivery')
  AND t.attempts > 1 AND t.last_ended_ns > f.began.ns
  AND (o.s, o.id) NOT IN (SELECT (s, id) FROM misordered);
