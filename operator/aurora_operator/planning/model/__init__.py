"""What planning reads and answers: the interface to the operator's shell. Values only; imports no other room."""
