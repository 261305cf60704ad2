-- It was a dead letter, and somebody sent it back. Of: redelivery, dead-letter. Proof: a `redriven` of it stands
-- between the two receives. Do: nothing: a redrive is asked for. What it repeats must be safe to do twice
-- (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds h
WHERE h.what = 'redelivery' AND EXISTS (
    SELECT 1 FROM redrives d
    WHERE d.s = h.s AND d.id = h.id AND NOT before(d.at_ns, d.file, h.held_ns, h.hold_file)
      AND NOT before(h.at_ns, h.file, d.at_ns, d.file));
