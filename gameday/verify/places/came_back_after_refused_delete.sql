-- It came again after a delete that the service had refused in time. On: queue. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE delete_refused
