"""Reading back how often effects stand where others keep them: a reader a file, all of them by name in
registry.py."""
