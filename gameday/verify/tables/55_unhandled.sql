-- Receives that nobody knows the effect of: no `effect` of that message in that batch.
CREATE TABLE unhandled AS
SELECT x.id, x.s, x.at_ns, x.file
FROM rx x ANTI JOIN effect_records e ON e.batch = x.batch AND e.id = x.id AND e.s = x.s;
