"""Bundles: OCI image layouts on disk, and the registries they come from and go to.

Knows OCI and nothing of Kubernetes. Of `cto` it uses the errors and the clock.
"""
