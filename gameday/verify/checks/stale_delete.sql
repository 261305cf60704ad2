-- deleted by a consumer whose visibility timeout for it had run out before; one per delete
WITH ended AS (
    SELECT d.line, d.s, d.id, d.began_ns, d.file AS delete_file, x.file, x.line AS hold_line,
           latest_end(x.ends, e.extends, x.file, d.began_ns, d.file) AS latest_ns,
           EXISTS (SELECT 1 FROM loosened l WHERE l.line = x.line AND NOT before(d.began_ns, d.file, l.began_ns, l.file)) AS unproven
    FROM settles d
    JOIN rx x ON x.id = d.id AND x.s = d.s AND x.batch = d.batch AND of_copy(d.broker_id, x.copy)
    LEFT JOIN extensions e ON e.id = x.id AND e.s = x.s AND e.batch = x.batch AND e.copy = x.copy
    WHERE d.action = 'delete'
)
SELECT s, id, count(*) AS n, NULL AS note, min(line) AS line, arg_min(hold_line, line) AS other_line
FROM (SELECT s, id, line, min(hold_line) AS hold_line FROM ended
      GROUP BY s, id, line HAVING bool_and(coalesce(before(latest_ns, file, began_ns, delete_file), false)) AND NOT bool_or(unproven))
GROUP BY s, id;
