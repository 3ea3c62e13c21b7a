"""What things are: typed, without I/O and without Temporal."""
