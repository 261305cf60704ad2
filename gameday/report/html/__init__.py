"""The report of a run as one HTML file that can be mailed: needs no network, and says what verdict.json says."""
