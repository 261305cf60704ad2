"""The ground floor: what a run writes down and how it is read again.

Everything that happens in a run becomes a line of its history; every judgement is made from those lines alone.
This package holds the event types, the envelope around a message, the writer, the reader, the clock that all
processes share, and the tree of errors. Standard library and orjson only, so that anything may import it.
"""
