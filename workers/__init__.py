"""Process entry points of the workers."""
