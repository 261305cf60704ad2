"""One run, from the first process to the last, and the rehearsal of shipped scenarios."""
