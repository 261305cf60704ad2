-- The function that had it did not answer within its time. Of: redelivery, dead-letter. Proof: each `responded` of its
-- batch is `failed`, with an `error` that says that time ran out. Do: give the function a longer timeout or smaller
-- batches, and the queue a visibility timeout of six times the function's
-- (docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND (b.fault LIKE '%timeout%' OR slows_work(b.fault))) AS instance,
       NULL AS excess_ns
FROM returned h
JOIN (SELECT s, batch FROM answers_given GROUP BY s, batch
      HAVING bool_and(outcome = 'failed' AND coalesce(regexp_matches(error, '(?i)tim(e|ed)[ -]?out|did not answer within'), false))) a
    ON a.s = h.s AND a.batch = h.hold_batch;
