-- It came again after a delete of which nobody knows whether it came to the service. On: queue. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE delete_unsure
