-- The service broke its promise: the records exclude every other cause. Of: redelivery, dead-letter, duplicate, loss,
-- overtake. Proof: it came again before its hold had ended, or after a delete that was answered `ok` in time, on a
-- queue that deduplicates; it was stored twice within the deduplication window, or by one attempt; it was accepted, and
-- is proven to be nowhere; it came in another order than it was stored or sent in. And no settling call there is
-- without a name, none of this hold without an answer, no receive before it unrecorded, no message that could be meant
-- in doubt. Do: keep the run directory and ask whoever runs the service; on an emulator see whether `gameday
-- conformance` finds the same (docs/conformance.md).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, CASE WHEN h.early THEN h.earliest_ns - h.at_ns END AS excess_ns
FROM holds h JOIN pairs p ON p.s = h.s AND p.id = h.id AND NOT p.in_doubt
WHERE h.kind = 'queue' AND h.deduplicates AND (h.early OR h.deleted) AND NOT h.loose AND NOT h.unsure AND NOT h.gap AND NOT h.by_service
  AND h.s NOT IN (SELECT s FROM of_any)
UNION ALL
SELECT j.what, j.s, j.id, j.line, NULL, NULL
FROM subjects j JOIN subs u ON u.s = j.s JOIN sends t ON t.id = j.id JOIN pairs p ON p.s = j.s AND p.id = j.id AND NOT p.in_doubt
WHERE j.what = 'duplicate' AND (u.deduplicates AND j.note = 'within' OR u.kind = 'stream' AND t.attempts = 1 AND t.accepted = 1)
UNION ALL
SELECT j.what, j.s, j.id, NULL, NULL, NULL
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id JOIN subs u ON u.s = j.s
LEFT JOIN messages m ON m.id = j.id
LEFT JOIN (SELECT s, part, min(lowest) AS lowest FROM readers GROUP BY s, part) r ON r.s = j.s AND r.part = m.number_part
WHERE j.what = 'loss' AND NOT p.in_doubt
  -- What stands before everything that was read of its partition may stand before where reading began.
  AND NOT (u.kind = 'stream' AND coalesce(r.lowest > m.number, true)) AND p.seen_from = 'consumer' AND NOT u.by_service AND NOT u.at_most_once AND NOT u.deployed_otherwise
  AND j.s NOT IN (SELECT s FROM of_any)
  AND (j.s, j.id) IN (SELECT (s, id) FROM rows_found WHERE anomaly IN ('lost', 'vanished', 'replay-missing') AND n > 0)
UNION ALL
SELECT DISTINCT 'overtake', o.s, o.id, NULL, NULL, NULL
FROM misordered o WHERE o.s NOT IN (SELECT s FROM of_any);
