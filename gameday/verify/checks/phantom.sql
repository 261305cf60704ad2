-- received, but never intended, or every send of it was proven to have failed; one per message
SELECT min(s) AS s, id, 1 AS n, NULL AS note FROM pairs WHERE received AND (NOT intended OR status = 'failed') GROUP BY id;
