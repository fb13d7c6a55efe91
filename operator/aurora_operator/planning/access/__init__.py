"""How clients, agents and pods get in: Secrets, accounts and their rights."""
