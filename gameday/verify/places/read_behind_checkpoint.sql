-- It was read again though a checkpoint that covers it had been written. On: stream.
SELECT s, id FROM rows_explained WHERE cause = 'read-behind-checkpoint'
