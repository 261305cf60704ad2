-- Each subject with its cause: of those that are proven of it the one with the least `weight`, the others beside it.
-- That is the number of a cause; of what is derived from several others, what is the cause of most of them comes first, after
-- what is known of itself alone (poison).

CREATE TABLE explained AS
WITH proven AS MATERIALIZED (
    SELECT what, s, id, line, cause, min(number)::DOUBLE AS weight, min(instance) AS instance, max(excess_ns) AS excess_ns
    FROM rows_explained GROUP BY what, s, id, line, cause
), first_causes AS MATERIALIZED (
    SELECT * FROM proven WHERE what IN ('redelivery', 'duplicate', 'dead-letter', 'loss') AND cause <> 'poison'
    QUALIFY row_number() OVER (PARTITION BY what, s, id, line ORDER BY weight) = 1
), votes AS (
    SELECT s, id, cause, min(weight) AS weight, count(*) AS n, count(*) FILTER (what <> 'duplicate') AS redeliveries,
           min(instance) AS instance, max(excess_ns) AS excess_ns
    FROM first_causes WHERE what <> 'loss' GROUP BY s, id, cause
), derived AS (
    -- A dead letter: of what brought it back, the most frequent.
    SELECT j.what, j.s, j.id, j.line, v.cause, 3 - v.redeliveries / (1.0 + sum(v.redeliveries) OVER (PARTITION BY j.s, j.id)) + v.weight / 1e6 AS weight,
           v.instance, v.excess_ns
    FROM subjects j JOIN votes v ON v.s IS NOT DISTINCT FROM j.s AND v.id = j.id AND v.redeliveries > 0
    WHERE j.what = 'dead-letter'
    UNION ALL
    -- An effect once more: of the receive that brought it; where no record tells which, or the one that came first was the
    -- last to apply it, of all that came again.
    SELECT j.what, j.s, j.id, j.line, p.cause, 5 + p.weight / 1000, p.instance, p.excess_ns
    FROM subjects j JOIN proven p ON p.s IS NOT DISTINCT FROM j.s AND p.id = j.id AND p.line = j.other_line
    WHERE j.what = 'effect-duplicate' AND p.what IN ('redelivery', 'duplicate')
    UNION ALL
    SELECT j.what, j.s, j.id, j.line, v.cause, 9 - v.n / (1.0 + sum(v.n) OVER (PARTITION BY j.s, j.id)) + v.weight / 1e6,
           v.instance, v.excess_ns
    FROM subjects j JOIN votes v ON v.s IS NOT DISTINCT FROM j.s AND v.id = j.id
    WHERE j.what = 'effect-duplicate'
      AND NOT EXISTS (SELECT 1 FROM subjects k WHERE k.s = j.s AND k.id = j.id AND k.line = j.other_line
                                                 AND k.what IN ('redelivery', 'duplicate'))
    UNION ALL
    SELECT j.what, j.s, j.id, j.line, p.cause, 5 + p.weight / 1000, p.instance, p.excess_ns
    FROM subjects j JOIN proven p ON p.s IS NOT DISTINCT FROM j.s AND p.id = j.id AND p.what = 'loss'
    WHERE j.what = 'effect-missing'
), ranked AS (
    SELECT what, s, id, line, cause, min(weight) AS weight, arg_min(instance, weight) AS instance, max(excess_ns) AS excess_ns
    FROM (FROM proven UNION ALL FROM derived) GROUP BY what, s, id, line, cause
), told AS (
    SELECT what, s, id, line, list({'cause': cause, 'instance': instance, 'excess_ns': excess_ns} ORDER BY weight, cause) AS causes
    FROM ranked GROUP BY what, s, id, line
)
SELECT coalesce(u.run, m.run, 0) AS run, j.what, j.s, j.id, j.line, j.n, coalesce(t.causes[1].cause, 'untold') AS cause,
       list_transform(t.causes[2:], lambda each: each.cause) AS others, t.causes[1].instance AS instance,
       t.causes[1].excess_ns AS excess_ns
FROM subjects j
LEFT JOIN told t ON t.what = j.what AND t.s IS NOT DISTINCT FROM j.s AND t.id = j.id AND t.line IS NOT DISTINCT FROM j.line
LEFT JOIN subs u ON u.s = j.s
LEFT JOIN messages m ON j.s IS NULL AND m.id = j.id;

-- How often each cause is that of what, by how much at the most, and the names of the first three messages; and how often a
-- fault is proven to have brought it about.
CREATE TABLE explained_counts AS
SELECT run, what, cause, sum(n)::BIGINT AS count, max(excess_ns) AS excess_ns, min(id, 3) AS ids
FROM (SELECT run, what, cause, id, sum(n) AS n, max(excess_ns) AS excess_ns FROM explained GROUP BY run, what, cause, id)
GROUP BY run, what, cause;

CREATE TABLE explained_faults AS
SELECT run, what, cause, instance, sum(n)::BIGINT AS count
FROM explained WHERE instance IS NOT NULL GROUP BY run, what, cause, instance;
