-- What was deployed on the subscription is not what the scenario means. Of: loss. Proof: the manifest's scenario has a
-- `deployed` of its own for that subscription. Do: correct the filter, rule or mapping that is deployed
-- (docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html,
-- docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN subs u ON u.s = j.s AND u.deployed_otherwise JOIN pairs p ON p.s = j.s AND p.id = j.id
WHERE j.what = 'loss' AND NOT p.received;
