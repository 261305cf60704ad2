-- no attempt to send it was accepted, and the producer gave it up; one per message
SELECT NULL AS s, id, 1 AS n, NULL AS note FROM messages WHERE status = 'failed' AND intended_ns IS NOT NULL;
