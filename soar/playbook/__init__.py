"""The playbook language: schema, loader, expressions, graph, linter and policy. Pure: no I/O but reading files."""
