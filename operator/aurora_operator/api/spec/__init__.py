"""`spec` of an AuroraCluster, one module a field or group of fields; `cluster_spec` puts them together."""
