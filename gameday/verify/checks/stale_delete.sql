-- deleted by a consumer whose visibility timeout for it had run out before; one per delete
WITH held AS (
    SELECT d.line, d.s, d.id, d.began_ns, d.file AS delete_file, x.file, x.earliest_end_ns, x.latest_end_ns, e.extends
    FROM settles d
    JOIN (SELECT id, s, batch, copy, arg_max(file, line) AS file, max(earliest_end_ns) AS earliest_end_ns,
                 max(latest_end_ns) AS latest_end_ns
          FROM rx GROUP BY id, s, batch, copy) x
        ON x.id = d.id AND x.s = d.s AND x.batch = d.batch AND of_copy(d.broker_id, x.copy)
    LEFT JOIN extensions e
        ON e.id = d.id AND e.s = d.s AND e.batch = d.batch AND of_copy(e.broker_id, x.copy)
    WHERE d.action = 'delete'
), ended AS (
    SELECT *, latest_end(earliest_end_ns, latest_end_ns, extends, file, began_ns, delete_file) AS latest_ns
    FROM held
)
SELECT s, id, count(*) AS n, NULL AS note
FROM (SELECT s, id, line FROM ended
      GROUP BY s, id, line HAVING bool_and(coalesce(before(latest_ns, file, began_ns, delete_file), false)))
GROUP BY s, id;
