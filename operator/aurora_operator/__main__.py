"""`python -m aurora_operator` is the operator (never `kopf run`, which would put this folder on `sys.path`)."""

from __future__ import annotations

from aurora_operator.controller.main import main

if __name__ == "__main__":
    main()
