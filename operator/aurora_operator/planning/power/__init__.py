"""Whether a cluster runs, sleeps or is stopped, and what wakes it."""
