"""Tests of playbooks: the real incident workflow on a clock that skips, a simulated account and scripted people."""
