-- It came again to another consumer's process. On: queue, stream. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE what = 'redelivery' AND consumer <> holder
