-- It came again to the consumer's process that had had it before. On: queue, stream. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE what = 'redelivery' AND consumer = holder
