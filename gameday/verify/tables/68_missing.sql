-- Messages that did not come: acked, expected, never received but from a replay, nor dead. `proven`: by a drain, or by a
-- later message of its group (70_order.sql). Where nobody recorded who received what, nothing is missing.

CREATE TABLE missing AS
SELECT s, id, drained AND NOT in_doubt AS proven
FROM pairs WHERE acked AND expected AND NOT first_hand AND NOT dead AND seen_from <> 'nobody';
