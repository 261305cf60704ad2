-- It came again after its handler had failed. On: queue, stream.
SELECT s, id FROM at_return WHERE failed AND what = 'redelivery'
