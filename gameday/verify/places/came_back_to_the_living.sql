-- It came again while the consumer that had it before lived on. On: queue, stream. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE NOT died AND what = 'redelivery'
