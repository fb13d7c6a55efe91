"""Which copies there should be, in which zones, and which of them vote."""
