"""Talking to other copies' agents: consensus messages, their HTTP API, the certificates for both."""
