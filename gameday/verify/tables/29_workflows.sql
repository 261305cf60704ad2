-- What was looked at of workflows: the runs whose executions were all read, and the steps whose effects were read back.

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

CREATE TABLE steps_read AS
WITH marks AS (
    SELECT s, max({'at_ns': at_ns, 'line': line, 'file': file}) AS mark
    FROM raw WHERE event = 'mark' AND name = 'steps-read' GROUP BY s
)
SELECT m.s
FROM marks m
LEFT JOIN raw r ON r.s = m.s AND r.event IN ('received', 'step')
    AND NOT record_before(r.at_ns, r.file, r.line, m.mark.at_ns, m.mark.file, m.mark.line)
GROUP BY m.s
HAVING count(r.line) = 0;

-- The steps that say anything of effects.
CREATE TABLE steps_recorded AS
SELECT DISTINCT s FROM raw WHERE event = 'step' OR (event = 'mark' AND name = 'steps-read');
