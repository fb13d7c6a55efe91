"""PostgreSQL's life on an instance: first data, start, repair, end."""
