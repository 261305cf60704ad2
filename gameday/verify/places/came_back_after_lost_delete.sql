-- It came again after a delete of which nobody knows whether it came to the service. On: queue.
SELECT s, id FROM at_return WHERE delete_unsure
