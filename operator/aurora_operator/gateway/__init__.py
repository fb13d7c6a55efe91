"""Holds the clients of a cluster that sleeps, and has it woken; reads no further than first packets."""
