-- A checkpoint that covers it was begun, and was refused or had no answer. Of: redelivery. Proof: when it came again, a
-- checkpoint at or behind it had been begun, may have worked, and none had been answered `ok`. Do: try the checkpoint
-- again, and let the work be safe to do twice (docs.aws.amazon.com/streams/latest/dev/troubleshooting-consumers.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds h JOIN places_reached p ON p.line = h.line
WHERE p.perhaps AND NOT p.covered;
