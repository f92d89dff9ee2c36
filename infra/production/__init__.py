"""The whole production set on one machine, as processes under one supervisor."""
