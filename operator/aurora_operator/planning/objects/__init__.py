"""Builders of the Kubernetes objects of a cluster: pure functions of values, one module a concern."""
