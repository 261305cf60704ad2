-- no send of it is known to have worked, and yet it was received: legal
SELECT s, id, 1 AS n, NULL AS note FROM pairs WHERE received AND intended AND status = 'unknown';
