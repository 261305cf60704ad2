-- Its consumer recorded an effect of it after it had come again, or was dead: two were at work on it. On: queue, stream. Of: redelivery, dead-letter. Needs: effects.
SELECT s, id FROM at_return WHERE done_after
