-- What is told of whole batches, producers and subscriptions, whose messages may be of many groups.

-- Producers that wrote into several files: their clocks differ as those of several writers do.
CREATE TABLE wandering AS
SELECT producer FROM raw WHERE event = 'intended' AND producer IS NOT NULL AND clock_error() > 0
GROUP BY producer HAVING min(file) <> max(file);

-- Of each batch that a `delivered` is of: when it was passed on, and whether it may have been though nothing proves it.
CREATE TABLE passed_on AS
SELECT s, batch, min({'at_ns': at_ns, 'file': file}) FILTER (outcome = 'ok') AS had,
       coalesce(bool_or(outcome = 'unknown'), false) AS perhaps
FROM raw WHERE event = 'delivered' AND s IS NOT NULL AND batch IS NOT NULL GROUP BY s, batch;

-- Who tells of some batches whether they were passed on would have told of all.
CREATE TABLE telling AS
SELECT DISTINCT s, file FROM raw WHERE event = 'delivered' AND s IS NOT NULL;

-- Where anybody recorded a receive of which the message is told.
CREATE TABLE heard_on AS
SELECT DISTINCT s FROM raw WHERE event = 'received' AND id IS NOT NULL AND s IS NOT NULL;

-- The messages that a handler failed, with the batch that they were in.
CREATE TABLE failures AS
SELECT DISTINCT s, batch, id FROM raw
WHERE event = 'effect' AND outcome = 'failed' AND id IS NOT NULL AND s IS NOT NULL AND batch IS NOT NULL
UNION
SELECT s, batch, id FROM failed_by_answers;
