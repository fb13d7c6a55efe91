"""Pure planning: spec and observed state to desired objects and actions."""
