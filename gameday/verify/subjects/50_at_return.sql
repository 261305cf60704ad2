-- What stood of each that came back when it did: whether its consumer's process had ended (`died`), was deleting it, or had
-- recorded what it did with it (`done_before`); and whether that one went on with it afterwards, by the times as told.

CREATE TABLE at_return AS
SELECT h.line, any_value(h.what) AS what, any_value(h.s) AS s, any_value(h.id) AS id, any_value(h.consumer) AS consumer,
       any_value(h.holder) AS holder, any_value(h.failed) AS failed,
       any_value(h.delete_unsure) AS delete_unsure, any_value(h.delete_refused) AS delete_refused,
       any_value(h.ever_deleting) AS deleting, coalesce(any_value(h.delete_began_ns) > any_value(h.at_ns), false) AS deleted_after,
       coalesce(bool_or(e.outcome <> 'failed' AND e.at_ns <= h.at_ns), false) AS done_before,
       coalesce(bool_or(e.outcome <> 'failed' AND e.at_ns > h.at_ns), false) AS done_after,
       h.line IN (SELECT line FROM deserted) AS died
FROM returned h
LEFT JOIN effect_records e ON e.s = h.s AND e.id = h.id AND e.batch = h.hold_batch
GROUP BY h.line;
