"""What the parts run in: settings, Temporal client and codec, logging, and the embedded servers."""
