"""The resources: models of spec and status, conditions, and the CRD generator."""
