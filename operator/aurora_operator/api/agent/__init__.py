"""Documents that the operator and the agents exchange, and the cluster's record. Imports `base` and `spec`."""
