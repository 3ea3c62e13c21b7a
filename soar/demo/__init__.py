"""The demonstration: the real system at work on a simulated account and, without a workspace, a simulated chat."""
