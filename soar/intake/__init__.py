"""From a delivery to its incident: accepted, kept, routed."""
