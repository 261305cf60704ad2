"""The searches for a schedule of faults that breaks a claim: the crash sweep and the hunt.

What to try next is decided here, from what was tried, and nothing is started: the command line runs each schedule.
"""
