-- Another consumer read the shard at the same time: the lease had gone over to it, and one of the two did not know it
-- yet. Of: redelivery. Proof: two consumers received it, and the receives of both on that partition overlap in time.
-- Do: expect it when leases expire under load or pauses: renew leases from a thread that the work cannot hold up, and
-- have checkpoints refused that come from an old owner (docs.aws.amazon.com/streams/latest/dev/kcl-concepts.html).
SELECT h.what, h.s, h.id, h.subject_line AS line, NULL AS instance, NULL AS excess_ns
FROM holds h
JOIN readers a ON a.s = h.s AND a.part = h.part AND a.consumer = h.holder
JOIN readers b ON b.s = h.s AND b.part = h.part AND b.consumer = h.consumer
WHERE h.kind = 'stream' AND h.consumer <> h.holder AND (a.last_ns > h.at_ns OR b.first_ns < h.held_ns);
