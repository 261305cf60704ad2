-- Its consumer's process ended after the effect was recorded, and before the delete or the checkpoint. On: queue, stream. Of: redelivery, dead-letter. Needs: effects.
SELECT s, id FROM at_return WHERE died AND done_before AND NOT deleting
