-- It came again while the consumer that had it before lived on, and had recorded its effect. On: queue, stream. Of: redelivery, dead-letter. Needs: effects.
SELECT s, id FROM at_return WHERE NOT died AND what = 'redelivery' AND done_before
