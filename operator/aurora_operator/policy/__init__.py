"""Decisions that database pods, the operator and benchmarks take alike. Pure; imports `api` alone."""
