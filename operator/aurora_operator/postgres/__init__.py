"""PostgreSQL and its tools: SQL, configuration, base backup, rewind."""
