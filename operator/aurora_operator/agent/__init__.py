"""The programs of a database pod. Here: what is started by `python -m`, and what puts the rooms together.

The rooms import one way, as the contracts in pyproject.toml say; none imports what stands here, but for `errors` and
`ports`. The names of the modules that are started (`exports`, `rehearsal`, `snapshotjob`, `transfer`) are an
interface: an operator names them in Jobs of an image that may be one release older or newer.
"""
