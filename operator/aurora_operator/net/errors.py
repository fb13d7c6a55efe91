"""What can go wrong on the way to another process.

NetError
├── ClientError  a call over HTTP that was not answered  (http_client.py)
└── KubeError    a call to the Kubernetes API            (kubernetes.py)
    └── Conflict
"""


class NetError(Exception):
    """The base of this package's errors; its text is a sentence for a log."""
