"""A champion on rows that come later: what has changed, how well it still does, and what to do about it."""
