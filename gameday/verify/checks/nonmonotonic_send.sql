-- one producer sent b after a (a's last attempt had been answered, or a stands before b in one call), both were acked,
-- and the service numbered b first; one per message and kind of order, by the number of its answer
WITH sends AS (
    -- Once for each ordered subscription that expects it: two that share none may have gone to different services.
    SELECT m.id, m.producer, m.grp, m.seq, m.began, p.sent.ended, m.number, m.number_max, m.unsure,
           p.kind = 'stream' AS stream, p.ordered_by, p.s || '/' || CASE p.kind WHEN 'stream' THEN m.number_part ELSE '' END AS part, p.s
    FROM messages m JOIN pairs p ON p.id = m.id
    WHERE m.status = 'acked' AND m.number IS NOT NULL AND m.grp IS NOT NULL AND m.producer IS NOT NULL
      AND m.seq IS NOT NULL AND p.expected AND p.ordered_by IS NOT NULL
      AND (p.kind = 'queue' OR m.number_part IS NOT NULL)
), suspects AS (
    -- Whatever was sent in the order of its numbers, call by call, needs no closer look.
    SELECT DISTINCT producer, grp, part
    FROM (SELECT *, max(number) OVER (PARTITION BY producer, grp, part ORDER BY seq
                                      GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest
          FROM sends)
    WHERE number < highest
), looked AS (
    SELECT * FROM sends SEMI JOIN suspects USING (producer, grp, part)
), crooked AS (
    SELECT DISTINCT producer, grp, part
    FROM (SELECT *, max(began) OVER (PARTITION BY producer, grp, part ORDER BY seq
                                        GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_ns
          FROM looked)
    WHERE began <= before_ns
), moments AS (
    SELECT id, s, producer, grp, part, began AS moment, number_max AS later_number, NULL AS number FROM looked
    UNION ALL
    SELECT id, s, producer, grp, part, ended, NULL, number FROM looked WHERE ended IS NOT NULL
), straight AS (
    SELECT id, s, number > min(later_number) OVER (PARTITION BY producer, grp, part ORDER BY moment
                                                GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS late, number
    FROM moments ANTI JOIN crooked USING (producer, grp, part)
), stored AS (
    -- Which entry of which call stored them. One that another attempt may have stored too proves nothing of its place.
    SELECT l.s, l.id, l.producer, l.grp, l.part, l.seq, l.number, l.number_max, l.stream, r.call, r.entry,
           l.unsure OR count(*) OVER (PARTITION BY l.id, l.s) > 1 AS elsewhere
    FROM looked l JOIN raw r ON r.id = l.id AND r.event = 'sent' AND r.outcome = 'ok'
    WHERE r.call IS NOT NULL AND r.entry IS NOT NULL
), pairwise AS (
    SELECT a.id, a.s FROM looked a JOIN looked b USING (producer, grp, part) SEMI JOIN crooked USING (producer, grp, part)
    WHERE a.seq < b.seq AND a.ended < b.began AND b.number_max < a.number
    UNION
    SELECT a.id, a.s FROM stored a JOIN stored b USING (producer, grp, part, call)
    WHERE a.seq < b.seq AND a.entry < b.entry AND b.number_max < a.number AND NOT b.elsewhere AND NOT a.stream
)
SELECT min(s) AS s, id, 1 AS n, NULL AS note
FROM sends
SEMI JOIN (SELECT id, s FROM straight WHERE number IS NOT NULL AND late UNION SELECT id, s FROM pairwise) USING (id, s)
GROUP BY id, ordered_by;
