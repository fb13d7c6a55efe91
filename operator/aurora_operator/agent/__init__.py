"""The in-pod process: supervisor, peer protocol, HTTP API, effects of consensus."""
