"""What is said about a cluster: phase, members, conditions, events. Reads decisions, and takes none."""
