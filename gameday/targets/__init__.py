"""Where AWS is: how each target is started or found, what it is, and what it cannot show."""
