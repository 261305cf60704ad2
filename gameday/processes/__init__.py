"""How the processes of a run talk: children that the conductor starts, and what it asks of them.

It promises that no process outlives the run, that commands and reports are one JSON line each, and that no module of
the user's is ever imported in place of one of ours.
"""
