"""Runs on a clock that jumps: real load, consumers, emulator and history; simulated processes, network and stores.

A second of a processor plays ten small ones, and each is the same again for the same seed. What is not ours, a program
or a handler of the user's, cannot be simulated.
"""
