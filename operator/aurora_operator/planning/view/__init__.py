"""What was observed, made sense of: copies, facts, positions, parsed specs. Decides nothing."""
