-- applied more than once; one per extra time
SELECT s, id, applied - 1 AS n, NULL AS note FROM pairs WHERE applied > 1 AND run IN (FROM effects_recorded);
