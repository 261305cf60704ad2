"""The roof: command line, scenario, target, the conductor of one run, reports."""
