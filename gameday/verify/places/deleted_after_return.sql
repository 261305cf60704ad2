-- Its consumer began to delete it after it had come again to somebody, or was dead. On: queue. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE deleted_after
