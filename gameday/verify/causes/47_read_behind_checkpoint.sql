-- It was read again though a checkpoint that covers it had been written: its reader began before that, or the service
-- gave again what it had given. Of: redelivery. Proof: when it came again, a checkpoint at or behind it had been
-- answered `ok`. Do: have readers begin right after their checkpoint (AFTER_SEQUENCE_NUMBER)
-- (docs.aws.amazon.com/streams/latest/dev/developing-consumers-with-sdk.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds h JOIN places_reached p ON p.line = h.line
WHERE p.covered;
