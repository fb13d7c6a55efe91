"""Readers that come and go with the load."""
