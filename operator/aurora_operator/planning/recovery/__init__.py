"""Copies that are lost, and a quorum that is lost for good."""
