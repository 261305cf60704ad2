-- received where it was not expected
SELECT s, id, 1 AS n, NULL AS note FROM pairs WHERE received AND expectation_known AND NOT expected;
