"""The claim catalogue, small and fast, against any target: does that endpoint do what AWS documents?

`probes/` asks, one module per service; `base` is what a probe stands on; `registry` lists them all; `run` asks them
all at once and sorts what came of it; `matrix` shows it.
"""
