-- why the run proves nothing: nothing acked, nothing received, a fault that touched no message's life or never struck
SELECT NULL AS s, tag AS id, 1 AS n, reason AS note FROM nothing_happened;
