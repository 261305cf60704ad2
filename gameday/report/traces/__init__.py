"""Traces of the messages that broke a claim, made of the history alone."""
