-- The runs whose executions were all read, after the last start.

CREATE TABLE executions_read AS
WITH marks AS (
    SELECT run, max({'at_ns': at_ns, 'line': line, 'file': file}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'executions-read' GROUP BY run
)
SELECT m.run
FROM marks m
LEFT JOIN raw r ON r.run = m.run AND r.event = 'sent'
    AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
GROUP BY m.run
HAVING count(r.line) = 0;
