"""What can go wrong in an agent, beside PostgreSQL (`postgres/errors.py`), networks (`net/errors.py`), files (OSError).

AgentError
├── Refused          what a service behind the HTTP API says no with
├── StoreError       the durable state is damaged                          (member/durable_state.py)
├── WireError        a peer's line is no message                           (peers/wire.py)
├── MustRestart      what is to be replayed needs PostgreSQL started anew  (replication/log_fetch.py)
└── NotForLogCopies  the core asks a log copy for what it cannot do        (log_copy/effects.py)
"""


class AgentError(Exception):
    """The base of this package's errors; its text is a sentence for a status or a log."""


class Refused(AgentError):
    """The request cannot be met now; the message says why and what would help."""
