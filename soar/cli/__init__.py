"""`soar …`: the command line."""
