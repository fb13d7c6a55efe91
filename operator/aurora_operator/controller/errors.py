"""What can go wrong in the operator's process, beside the Kubernetes API (`kube/errors.py`).

ControllerError
├── ConfigError   the environment does not say how to run     (config.py)
├── AgentError    an agent does not answer, or refuses        (agents.py)
├── KubeletError  a kubelet does not say how full volumes are  (kubelet.py)
└── Stopped       a pass may not write any more               (reconcile.py)
"""


class ControllerError(Exception):
    """The base of this package's errors; its text is a sentence for a status or a log."""
