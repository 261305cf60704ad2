-- What the effects of messages are read back under, in runs that tell it: a message's `key`, else its `id`. `shared`: another
-- message has the same, so nobody knows whose effects were read back. Effects that are known by their key have from here on
-- the `id` of its message.

CREATE TABLE keys AS
SELECT run, id, effects_key, count(*) OVER (PARTITION BY run, effects_key) > 1 AS shared
FROM (
    -- What its first attempt says that says any, as in 20_messages.sql.
    SELECT run, id, coalesce(arg_min(effects_key, (coalesce(attempt, 0), line)), id) AS effects_key
    FROM raw
    WHERE event IN ('intended', 'sent') AND id IS NOT NULL
      -- A list, for a join by the run would have all records of a history in one bucket of its hash table.
      AND list_contains((SELECT list(DISTINCT run) FROM raw WHERE effects_key IS NOT NULL), run)
    GROUP BY run, id HAVING bool_or(event = 'intended')
);

CREATE TABLE shared_keys AS SELECT id FROM keys WHERE shared;

CREATE TABLE effects_of_nobody AS
SELECT r.run, r.s, count(DISTINCT r.effects_key) AS n
FROM raw r ANTI JOIN keys k ON k.run = r.run AND k.effects_key = r.effects_key
WHERE r.event = 'effects' AND r.id IS NULL AND r.effects_key IS NOT NULL
GROUP BY r.run, r.s;

UPDATE parsed SET id = k.id FROM keys k
WHERE parsed.event = 'effects' AND parsed.id IS NULL AND parsed.effects_key = k.effects_key AND NOT k.shared;
