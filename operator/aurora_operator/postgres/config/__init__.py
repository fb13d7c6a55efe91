"""PostgreSQL's configuration: computed, checked against the installed server, written."""
