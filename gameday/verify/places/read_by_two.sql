-- It came again from a shard that two consumers read at once: the lease had gone over, and one of them did not know it yet. On: stream.
SELECT s, id FROM rows_explained WHERE cause = 'lease-taken'
