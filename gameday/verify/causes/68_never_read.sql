-- Nobody read the partition that it stands in. Of: loss. Proof: the answer to its send names a partition of which no
-- consumer received anything, and nobody saw the stream read to its end. Do: start readers at TRIM_HORIZON and not at
-- LATEST, and read parents to their end before their children
-- (docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).
SELECT j.what, j.s, j.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM subjects j JOIN pairs p ON p.s = j.s AND p.id = j.id AND p.kind = 'stream' JOIN messages m ON m.id = j.id
WHERE j.what = 'loss' AND NOT p.received AND NOT p.drained AND m.number_part IS NOT NULL
  AND (j.s, m.number_part) NOT IN (SELECT (s, part) FROM readers);
