-- It came again while the consumer that had it before lived on, and had recorded no effect of it yet. On: queue, stream. Of: redelivery, dead-letter. Needs: effects.
SELECT s, id FROM at_return WHERE NOT died AND what = 'redelivery' AND NOT done_before
