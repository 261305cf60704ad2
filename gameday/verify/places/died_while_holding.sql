-- Its consumer's process ended while it had the message. On: queue, stream. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE died
