-- It came again to another consumer's process. On: queue, stream.
SELECT s, id FROM at_return WHERE what = 'redelivery' AND consumer <> holder
