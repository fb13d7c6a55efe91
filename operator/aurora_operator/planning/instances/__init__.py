"""The StatefulSets of instances: made, and removed once nothing is lost with them."""
