"""Dry runs: the real incident workflow, in which reads run, changes are only planned, and nobody is asked."""
