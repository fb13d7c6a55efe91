"""What can go wrong in a proxy, beside networks (`net/errors.py`) and files (OSError).

ProxyError
├── ConsoleError  PgBouncer does not do what it was told, or has ended  (pgbouncer.py)
└── NotOpen       an instance does not let us in                        (probe.py)
"""


class ProxyError(Exception):
    """The base of this package's errors; its text is a sentence for a log."""
