"""Two or more recorded runs side by side: what is better, what is worse, and what is noise."""
