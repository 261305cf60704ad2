-- The answer to the receive call never came to the consumer, so its messages stayed hidden and came again. Of:
-- redelivery, dead-letter. Proof: the `delivered` records of its batch say `failed` or `unknown`, and none says `ok`.
-- Do: expect it; a longer read timeout in the SDK than the long poll's wait time avoids the answers that the client
-- itself gives up (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html).
SELECT h.what, h.s, h.id, h.subject_line AS line,
       (SELECT min(b.instance) FROM beset b WHERE b.line = h.line AND loses_calls(b.fault)
                                              AND b.start_ns <= h.held_ns AND b.stop_ns >= h.held_ns) AS instance,
       NULL AS excess_ns
FROM holds h JOIN passed_on p ON p.s = h.s AND p.batch = h.hold_batch AND p.had IS NULL
WHERE NOT h.early AND NOT h.gap AND NOT h.ever_deleting AND h.outcome IS NULL;
