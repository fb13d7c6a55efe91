"""Leading and following: what a copy does with its PostgreSQL as the consensus tells it."""
