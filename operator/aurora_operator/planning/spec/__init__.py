"""Whether a spec can be carried out here."""
