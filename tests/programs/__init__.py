"""Consumers as people have them in production, which know nothing of gameday."""
