-- The invocation that it was in failed as a whole, or gave it back behind one that failed. Of: redelivery, dead-letter.
-- Proof: each `responded` of its batch fails it. Do: answer with batchItemFailures (ReportBatchItemFailures), so that
-- one failure does not bring the whole batch back
-- (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND fails_work(b.fault)) AS instance, NULL AS excess_ns
FROM returned h
JOIN handlings g ON g.line = h.hold_line AND g.s = h.s AND g.id = h.id AND g.failed;
