"""The resources: models of spec and status, documents of the agents, and the CRD generator. Here: what users write."""
