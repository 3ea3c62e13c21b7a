"""Slack: cards (state → blocks), the client, the reconciler, interactions and their delivery."""
