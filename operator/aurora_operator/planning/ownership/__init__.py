"""Whose an object is: what may be adopted, applied and deleted, and what is said of names that are taken."""
