"""The operator process: Kopf handlers, reconcile loop, metrics, probes."""
