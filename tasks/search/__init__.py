"""The search for a configuration: what is tried, in which order, on what, and which one is chosen."""
