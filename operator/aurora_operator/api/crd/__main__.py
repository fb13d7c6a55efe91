"""`python -m aurora_operator.api.crd`: see `generate`."""

from __future__ import annotations

from aurora_operator.api.crd.generate import main

if __name__ == "__main__":
    raise SystemExit(main())
