-- It failed, and others of its group were done before it was tried again. Of: overtake. Proof: a handler failed it
-- before the effect of the other one was applied. Do: stop a group at its first failure: give back what stands behind
-- it, or report it as failed, too (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html).
SELECT 'overtake' AS what, s, id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM handled_late WHERE failed_before AND (s, id) NOT IN (SELECT (s, id) FROM misordered);
