-- received as more than one copy, copies after a redrive and from a replay left out; one per extra copy

-- `note`: whether the copy before it was enqueued within the deduplication window ('within', 'outside'), or that nobody
-- can tell ('unknown'; so too, counting nothing, where a receive names no copy).
WITH copies AS (
    SELECT x.s, x.id, x.copy, min(x.enqueued_ns) AS enqueued_ns, arg_min(x.line, (x.at_ns, x.line)) AS line,
           u.deduplicates, u.dedup_window_ns
    FROM rx x
    -- A workflow sends to a step as often as it likes.
    JOIN subs u ON u.s = x.s AND u.step IS NULL
    JOIN pairs p ON p.s = x.s AND p.id = x.id
    ANTI JOIN perhaps_redriven d ON d.s = x.s AND d.id = x.id
    WHERE x.copy <> '' AND x.replay IS NULL
      AND (p.first_redrive IS NULL OR record_before(x.at_ns, x.file, x.line, p.first_redrive.at_ns,
                                                    p.first_redrive.file, p.first_redrive.line))
    GROUP BY ALL
), several AS (
    SELECT *, row_number() OVER w AS nth, lag(enqueued_ns) OVER w AS before_ns,
           lag(line) OVER w AS other_line,
           bool_or(enqueued_ns IS NULL) OVER (PARTITION BY s, id) AS untold
    FROM (SELECT * FROM copies QUALIFY count(*) OVER (PARTITION BY s, id) > 1)
    WINDOW w AS (PARTITION BY s, id ORDER BY enqueued_ns, copy)
)
SELECT s, id, 1 AS n,
       CASE WHEN NOT deduplicates THEN 'within'
            WHEN enqueued_ns IS NULL OR before_ns IS NULL THEN 'unknown'
            WHEN enqueued_ns - before_ns < dedup_window_ns THEN 'within'
            ELSE 'outside' END AS note, line, other_line
FROM several WHERE nth > 1
UNION ALL
SELECT s, id, 0, 'unknown', NULL, NULL FROM rx WHERE replay IS NULL GROUP BY s, id HAVING count(*) > 1 AND bool_or(copy = '');
