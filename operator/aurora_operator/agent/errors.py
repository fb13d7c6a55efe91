"""What a service behind the HTTP API says no with."""


class Refused(Exception):
    """The request cannot be met now; the message says why and what would help."""
