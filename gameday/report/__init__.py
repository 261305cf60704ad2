"""A verdict for people and machines, and what a run shows while it goes on."""
