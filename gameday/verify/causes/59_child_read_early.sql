-- A shard was read before the shard that it came from had been read to its end. Of: overtake. Proof: a `partition` mark
-- names the parent, and a record of the child was received before one of its group in the parent. Do: read the children
-- of a split or a merge only after their parents are read to their end, as the KCL does
-- (docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html).
SELECT DISTINCT 'overtake' AS what, o.s, o.id, NULL::BIGINT AS line, NULL AS instance, NULL::BIGINT AS excess_ns
FROM overtaken o
WHERE o.anomaly = 'child-before-parent'
   OR (o.s, o.id) IN (SELECT (s, id) FROM overtaken WHERE anomaly = 'child-before-parent')
   OR EXISTS (SELECT 1 FROM rx a JOIN rx b ON b.s = a.s AND b.id = o.first
              JOIN descendants d ON d.s = a.s AND d.ancestor = a.part AND d.descendant = b.part
              WHERE a.s = o.s AND a.id = o.late);
