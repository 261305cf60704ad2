"""The highest rate at which every claim of a scenario holds: which rates to try, and what a step measured.

`search` decides, from the steps so far, which rate comes next; `measure` reads from a step's own record what gave way
and where it was stuck. Neither starts anything: the command line runs the steps, each as a run of its own.
"""
