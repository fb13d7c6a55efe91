"""What agent and gateway share: HTTP over TLS, Kubernetes over that, name look-ups. Knows nothing of databases."""
