"""Pure planning: spec and observed state to desired objects and actions. Here: the plan, as the sum of its rooms."""
