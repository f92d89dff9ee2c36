"""The report's parts: words, numbers, drawings and one view per section; tasks/report.py puts them on the page."""
