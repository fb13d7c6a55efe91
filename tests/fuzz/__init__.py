"""Any bytes, where something of ours reads what others wrote: a value or the error that is expected, nothing else."""
