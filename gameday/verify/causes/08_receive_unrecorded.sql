-- Whoever had received it just before never wrote that down: the answer was lost on its way, or the receiver died
-- first. Of: redelivery, dead-letter. Proof: `receives` says that the broker gave it to somebody once more than
-- `received` records tell. Do: expect it: a receive whose answer is lost hides its messages for a whole visibility
-- timeout. On FIFO queues repeat such a call with its ReceiveRequestAttemptId
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html);
-- elsewhere keep the timeout as short as the work allows.
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds
WHERE gap AND NOT early
UNION ALL
-- Of a dead letter that nobody recorded at all there is no hold.
SELECT j.what, j.s, j.id, NULL, NULL, NULL
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id JOIN subs u ON u.s = j.s
WHERE j.what = 'dead-letter' AND NOT p.received AND p.seen_from = 'consumer' AND NOT u.by_service
  AND (j.s, j.id) IN (SELECT (s, id) FROM dead_letters WHERE receives > 0);
