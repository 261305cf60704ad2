-- What is told of consumers and of places in streams, whichever messages it concerns: what causes rest on.

-- Each consumer that ended, and with what exit code: negative for the signal that ended it.
CREATE TABLE exits AS
SELECT consumer, min(at_ns) AS at_ns, arg_min(file, at_ns) AS file, arg_min(TRY_CAST(code AS BIGINT), at_ns) AS code
FROM raw WHERE event = 'mark' AND name = 'consumer-exited' AND consumer IS NOT NULL GROUP BY consumer;

-- The last record of each consumer that is of a message or of a batch.
CREATE TABLE last_heard AS
SELECT consumer, max(at_ns) AS at_ns, arg_max(file, at_ns) AS file
FROM raw WHERE consumer IS NOT NULL AND event <> 'mark' GROUP BY consumer;

-- Of each partition, how far its checkpoints had come by each moment: those that were answered `ok`, by their answer, and
-- those that may have worked, by their beginning.
CREATE TABLE checkpointed AS
SELECT s, part, at_ns, sure, max(number) OVER (PARTITION BY s, part, sure ORDER BY at_ns) AS reached
FROM (SELECT s, part, number, began_ns AS at_ns, false AS sure FROM settles
      WHERE action = 'checkpoint' AND may_work AND part IS NOT NULL AND number IS NOT NULL
      UNION ALL
      SELECT s, part, number, answered_ns, true FROM settles
      WHERE action = 'checkpoint' AND ok AND part IS NOT NULL AND number IS NOT NULL);

-- From when until when each consumer read each partition, and the lowest number that it received there.
CREATE TABLE readers AS
SELECT s, part, consumer, min(at_ns) AS first_ns, max(at_ns) AS last_ns, min(sequence_key(broker_seq)) AS lowest
FROM raw WHERE event = 'received' AND part IS NOT NULL AND s IS NOT NULL AND consumer IS NOT NULL
  AND s IN (SELECT s FROM subs WHERE kind = 'stream')
GROUP BY s, part, consumer;
