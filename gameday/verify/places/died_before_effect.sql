-- Its consumer's process ended while it had the message, before an effect was recorded. On: queue, stream. Of: redelivery, dead-letter. Needs: effects.
SELECT s, id FROM at_return WHERE died AND NOT done_before AND NOT deleting
