"""pgBackRest: its commands, its configuration, its repositories' files."""
