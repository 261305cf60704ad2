"""Judging: checks over the history in SQL, the verdict, and the live observer. Imports history and nothing else."""
