-- Its consumer's process ended between the intent to delete it and the answer. On: queue.
SELECT s, id FROM at_return WHERE died AND deleting
