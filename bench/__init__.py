"""Benchmarks on the kind cluster, such as `python -m bench.failover`. Each prints one line of JSON at its end."""
