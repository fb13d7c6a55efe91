"""The agent of a log copy: WAL, acknowledged and kept, and no PostgreSQL. Imports no database driver."""
