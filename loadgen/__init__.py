"""Pushing load: Locust users, load shapes, the open-model schedule."""
