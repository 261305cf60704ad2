-- The runs whose objects were listed at the end, after all that was done with objects and all that was received.
-- `bounded`: a rule of their bucket removes what is left.

CREATE TABLE objects_read AS
WITH marks AS (
    SELECT run, max({'at_ns': at_ns, 'line': line, 'file': file, 'bounded': expires_s IS NOT NULL}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'objects-read' GROUP BY run
)
SELECT m.run, any_value(m.mark.bounded) AS bounded
FROM marks m
LEFT JOIN raw r ON r.run = m.run
    AND r.event IN ('storing', 'stored', 'fetched', 'removing', 'removed', 'received')
    AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
GROUP BY m.run
HAVING count(r.line) = 0;
