-- one producer's messages of a group, both acked and both received, stand in the broker against their `seq`
WITH stored AS (
    SELECT s, id, number, min(number) OVER (PARTITION BY s, producer, grp, part ORDER BY seq
                                            GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS smallest_later
    FROM pairs
    WHERE ordered_by IS NOT NULL AND acked AND received AND number IS NOT NULL
      AND producer IS NOT NULL AND grp IS NOT NULL AND seq IS NOT NULL
)
SELECT s, id, 1 AS n, NULL AS note FROM stored WHERE smallest_later < number;
