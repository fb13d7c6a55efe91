"""The cluster harness: from nothing to a kind cluster that the end-to-end tests and the demo run on.

`python -m tests.kind up` is all that anybody needs to know. On a machine with a Docker engine and an image
registry it pulls; where one of them is missing it builds what is missing, and nothing outside this package
can tell which it was.
"""
