-- a record says `applied`, and the store that was read back has none of it
SELECT s, id, 1 AS n, NULL AS note FROM pairs WHERE effects.read_back AND effects.applied > 0 AND applied = 0 AND NOT shared_key;
