"""Installs a multi-agent development platform on Kubernetes."""

__version__ = "0.1.0"
