"""Observes a cluster and carries plans out."""
