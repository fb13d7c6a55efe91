"""Logical export and import of one database, and how it lies in a destination."""
