"""Helm: charts as archives, and releases as the program makes them."""

from cto.adapters.helm.charts import ChartResolver
from cto.adapters.helm.crds import chart_crds
from cto.adapters.helm.guard import HelmGuard
from cto.adapters.helm.releases import WORDS, HelmReleases

__all__ = [
    "WORDS",
    "ChartResolver",
    "HelmGuard",
    "HelmReleases",
    "chart_crds",
]
