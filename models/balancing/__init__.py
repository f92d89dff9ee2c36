"""The selectable strategies: one folder per slot, one file per method, found by looking into the folders."""

from models.balancing.discovery import catalogue, component

__all__ = ["catalogue", "component"]
