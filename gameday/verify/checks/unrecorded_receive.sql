-- the broker counts a receive that nobody recorded: a lost reply, or a consumer that died before writing; legal
SELECT x.s, x.id, count(*) AS n, NULL AS note
FROM rx x
ANTI JOIN rx y ON y.id = x.id AND y.s = x.s AND y.copy = x.copy AND y.receives = x.receives - 1
WHERE x.receives > 1 AND x.copy <> ''
GROUP BY x.s, x.id;
