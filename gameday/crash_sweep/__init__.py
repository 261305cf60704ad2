"""The crash sweep: a consumer is crashed at every point of its work in turn, and each run is judged.

`schedules.py` says what to try next and is pure; who runs it, and how it is shown, is the roof's business.
"""
