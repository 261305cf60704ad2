-- Another message of its batch failed, and its consumer did not delete this one either. Of: redelivery, dead-letter.
-- Proof: a handler failed another message that was received in its `batch`, and none failed this one; no delete of it
-- was begun, though its consumer gave it back or lived on (on a stream: the same consumer read it again). Do: delete
-- what succeeded one by one, whatever becomes of the rest of the batch; with Lambda report batch item failures
-- (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND fails_work(b.fault)) AS instance, NULL AS excess_ns
FROM returned h
JOIN (SELECT DISTINCT h.line FROM returned h JOIN failures f ON f.s = h.s AND f.batch = h.hold_batch AND f.id <> h.id) m
    ON m.line = h.line
WHERE NOT h.failed AND NOT h.ever_deleting
  AND CASE h.kind WHEN 'queue' THEN h.released OR coalesce(h.heard_ns > h.latest_ns, false)
                  ELSE coalesce(h.consumer = h.holder, false) END;
