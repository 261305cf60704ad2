"""What can be seen while a run goes on: the observer reads the history as it grows and serves metrics.

Nothing depends on it: whoever wants proof asks the verdict.
"""
