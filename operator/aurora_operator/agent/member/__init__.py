"""What every copy's agent is made of: who it is, its durable state, its configuration, its consensus driver."""
