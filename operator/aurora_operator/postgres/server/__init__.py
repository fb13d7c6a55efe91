"""The server as a process: data directory made, started, watched, stopped; what its control file says."""
