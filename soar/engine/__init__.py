"""The workflows: deterministic, and calling everything that touches the world by name."""
