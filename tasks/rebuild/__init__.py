"""From a registered version back to what it was made of: its lineage, its differences from another, and the version again."""
