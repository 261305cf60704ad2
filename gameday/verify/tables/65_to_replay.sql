-- What each replay that ran to its end must have sent again.

-- An event has its time from when the schedule wanted it or from when the service got it, so the replay covers those
-- whose whole way out, from `due` to the last answer, lies within the time that was replayed.
CREATE VIEW to_replay AS
SELECT p.s, p.id, r.replay, p.drained, p.ever_dead, p.in_doubt
FROM pairs p
JOIN messages m ON m.id = p.id
JOIN replays r ON r.run = p.run AND r.ended AND least(m.due_ns, m.intended_ns) >= r.since_ns + clock_error()
    AND m.ended.ns + clock_error() <= r.until_ns
WHERE p.acked AND p.expected;
