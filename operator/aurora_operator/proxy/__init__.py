"""The proxy's pod: PgBouncer, and what steers it. Where sessions go is decided by what the agents say."""
