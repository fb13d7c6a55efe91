"""AuroraSnapshots: the next step of each, by volume or by backup."""
