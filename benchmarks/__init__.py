"""Measurements of speed, memory and quality against peers; each is a module that is run by hand and writes results/<name>.json."""
