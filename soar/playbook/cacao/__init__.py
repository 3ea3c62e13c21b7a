"""CACAO 2.0 playbooks: read, checked, turned into ours, and ours written as CACAO."""
