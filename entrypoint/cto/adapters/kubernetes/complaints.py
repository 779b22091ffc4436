"""What the loader of the `kubernetes` package complains about: it logs that and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what the loader logs: it tells of a failed exec plugin in no other way.

    https://github.com/kubernetes-client/python/blob/v34.1.0/kubernetes/base/config/kube_config.py
    logs on the root logger, and would set up logging to stderr if there were no handler.
    """
    collector = _Collector()
    root = logging.getLogger()
    root.addHandler(collector)
    try:
        yield collector.texts
    finally:
        root.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "root":
            self.texts.append(record.getMessage())
