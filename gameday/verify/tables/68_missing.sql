-- Messages that did not come: acked, expected, never received but from a replay, nor dead. `proven`: by a drain, or by a
-- later message of its group (70_order.sql). Where nobody recorded who received what, nothing is missing.

CREATE TABLE missing AS
SELECT s, id, provable, drained AND provable AS proven
FROM (
    SELECT *, NOT in_doubt
              -- Somebody went past the proxy: what had its effect was received, and where it saw nothing it was not asked.
              AND NOT (seen_from = 'wire' AND (applied > 0 OR s NOT IN (SELECT s FROM heard_on)))
              -- A service may have given up what was invoked unrecorded.
              AND s NOT IN (SELECT s FROM subs WHERE gives_up AND NOT all_invoked) AS provable
    FROM pairs
)
WHERE acked AND expected AND NOT first_hand AND NOT dead AND seen_from <> 'nobody';
