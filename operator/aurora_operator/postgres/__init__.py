"""PostgreSQL and its tools: configuration, server process, SQL, cloning, rewinding. Never imports Kubernetes."""
