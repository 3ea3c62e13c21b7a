"""Where alerts come from: one module for each source."""
