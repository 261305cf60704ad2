-- a before b, both received, but b first; not if a is dead and a call that received it had begun before
SELECT p.s, p.id, 1 AS n, NULL AS note
FROM followers('first_receives') f JOIN pairs p ON p.s = f.s AND p.id = f.id
WHERE CASE WHEN p.dead
           THEN f.any_ns + clock_error() < p.first_call.at_ns
                OR (f.same_ns < p.first_call.at_ns AND p.first_call.file = p.first.file)
           ELSE f.any_ns + clock_error() < p.first.at_ns OR f.same_line < p.first.line END;
