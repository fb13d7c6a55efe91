"""Kubernetes: observe, apply, lease, events. The only package that imports the Kubernetes client."""
