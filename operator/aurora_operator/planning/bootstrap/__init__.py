"""Where a cluster's, or a copy's, first data come from."""
