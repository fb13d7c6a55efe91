"""The agent's HTTP servers, for the operator, other agents, the kubelet and Prometheus."""
