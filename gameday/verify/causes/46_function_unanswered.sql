-- Nobody knows what the invocation that had it came to. Of: redelivery, dead-letter. Proof: there is an `invoked` of
-- its batch, and no `responded` that is `ok` or `failed`. Do: expect it: a function that dies is tried again
-- (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND (ends_a_process(b.fault) OR fails_work(b.fault))) AS instance,
       NULL AS excess_ns
FROM returned h
JOIN handlings g ON g.line = h.hold_line AND g.s = h.s AND g.id = h.id AND g.recorded
WHERE NOT g.failed AND NOT g.may_be_done;
