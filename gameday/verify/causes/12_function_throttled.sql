-- The service received it and invoked no function with it: all that were allowed to run were busy. Of: redelivery,
-- dead-letter. Proof: each invocation is recorded (`invocations: all`), and there is no `invoked` of the batch that it
-- came in. Do: reserve more concurrency for the function, or set the mapping's maximum concurrency below it, so that
-- throttled receives use up no receive counts; AWS advises a maxReceiveCount of at least 5
-- (docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND b.fault LIKE '%throttle%') AS instance, NULL AS excess_ns
FROM returned h
ANTI JOIN invocations i ON i.s = h.s AND i.batch = h.hold_batch
WHERE h.all_invoked;
