-- It came again after its handler had failed. On: queue, stream. Of: redelivery, dead-letter.
SELECT s, id FROM at_return WHERE failed AND what = 'redelivery'
