-- the checksum disagrees, or the group is not the one that was intended; one per receive
SELECT x.s, x.id, count(*) AS n, NULL AS note
FROM rx x LEFT JOIN messages m ON m.id = x.id
WHERE NOT coalesce(x.intact, true) OR (x.grp <> m.grp)
GROUP BY x.s, x.id;
