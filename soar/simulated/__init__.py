"""Simulated neighbours for demo, drills and tests: an account with a company in it, a chat workspace."""
