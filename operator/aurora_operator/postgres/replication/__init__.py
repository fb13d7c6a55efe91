"""A copy among copies: following, cloning, rewinding, what is put aside first."""
