-- Two copies of it were received, for it was sent twice, or stored twice. On: queue, stream.
SELECT s, id FROM rows_found WHERE anomaly = 'send-duplicate' AND n > 0
