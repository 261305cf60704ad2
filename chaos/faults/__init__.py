"""The faults, one file each; chaos/registry.py names them."""
