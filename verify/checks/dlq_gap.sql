-- a before b, a ended dead, b received after a's last receive
SELECT p.s, p.id, 1 AS n, NULL AS note
FROM followers('last_receives') f JOIN pairs p ON p.s = f.s AND p.id = f.id
WHERE f.any_ns + clock_error() < -p.last.at_ns OR f.same_line < -p.last.line;
