"""The phases of a run, a module each: a function of the run, which does its part and leaves what later ones need in it.

gameday/run/conductor.py has them in one list; another phase is a file here and a line there.
"""
