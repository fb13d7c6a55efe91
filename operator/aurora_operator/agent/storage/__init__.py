"""The volume: how full it is, what is done about that, and whether its pages are sound."""
