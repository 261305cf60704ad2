-- It was handled, and its consumer lived on and did not delete it before its visibility timeout ended. Of: redelivery,
-- dead-letter. Proof: an `effect` in its batch is `applied` or `skipped`, its consumer recorded something after the
-- hold's end, and no delete or release in its batch was begun within it. Do: delete each message as soon as its work is
-- done; without a delete it always comes again
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
SELECT what, s, id, subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM returned
WHERE kind = 'queue' AND NOT by_service AND outcome IN ('applied', 'skipped') AND heard_ns > latest_ns AND NOT deleting AND NOT released;
