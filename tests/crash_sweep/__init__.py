"""The crash sweep."""
