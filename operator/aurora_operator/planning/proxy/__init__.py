"""The proxy: its pods, its endpoints, its certificates, and what the status says of it."""
