"""What is published, made from a checkout: one module a file in dist/. Asks the harness for tools; imports no product.

`python -m hack.release` makes all that can be made here and says what it leaves out; docs/releasing.md has the rest.
"""
