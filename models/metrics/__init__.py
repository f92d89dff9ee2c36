"""Metrics as plain functions of arrays, and the intervals that say how far each can be trusted."""
