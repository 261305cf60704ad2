-- What somebody did to executions, and may have worked: one row per call that had one redriven, or stopped it.

CREATE TABLE steerings AS
SELECT r.id, r.arn, r.action, r.at_ns, r.file, r.line
FROM raw r
ANTI JOIN raw a ON a.event = 'steered' AND a.outcome = 'failed' AND a.file = r.file AND a.id = r.id AND a.arn = r.arn
    AND a.action = r.action AND a.call IS NOT DISTINCT FROM r.call
WHERE r.event = 'steering' AND r.id IS NOT NULL AND r.arn IS NOT NULL;
