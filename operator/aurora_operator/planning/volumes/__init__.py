"""The claims of copies: made, grown, kept, deleted; and the log copies that stand on them."""
