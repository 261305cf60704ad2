-- Its consumer's process ended between the intent to delete it and the answer. On: queue. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE died AND deleting
