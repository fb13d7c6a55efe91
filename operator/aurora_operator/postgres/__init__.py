"""PostgreSQL and its tools. Never imports Kubernetes or consensus. Here: what every room of it stands on."""
