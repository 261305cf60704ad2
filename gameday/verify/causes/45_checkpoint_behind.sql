-- The shard was read again from before it, by another consumer or by the same one, and no checkpoint covered it yet.
-- Of: redelivery. Proof: on a stream, when it came again no checkpoint at or behind it that may have worked had been
-- begun by then. Do: checkpoint more often, and let the work be safe to do twice: on a stream everything since the last
-- checkpoint comes again (docs.aws.amazon.com/streams/latest/dev/kinesis-record-processor-duplicates.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds h LEFT JOIN places_reached p ON p.line = h.line
WHERE h.kind = 'stream' AND h.number IS NOT NULL AND NOT coalesce(p.perhaps, false);
