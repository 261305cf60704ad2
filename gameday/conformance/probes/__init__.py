"""One module per service; each ends in its `PROBES`, by the names that the matrix shows."""
