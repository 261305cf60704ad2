-- Its consumer's process ended while it had the message. On: queue, stream.
SELECT s, id FROM at_return WHERE died
