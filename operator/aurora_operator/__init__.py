"""A Kubernetes operator for Amazon-Aurora-like PostgreSQL clusters."""
