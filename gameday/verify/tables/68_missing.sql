-- Messages that did not come: acked, expected, never received but from a replay, nor dead. `proven`: by a drain, or by a
-- later message of its group (70_order.sql).

CREATE TABLE missing AS
SELECT s, id, drained AS proven FROM pairs WHERE acked AND expected AND NOT first_hand AND NOT dead;
