"""The loader of the `kubernetes` package, for what asks for more than a certificate or a token."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cto.adapters.kubernetes import errors as api_errors
from cto.errors import PreflightError
from cto.goyaml import YAMLError
from cto.ports import Access

# What the loader raises for a file of another shape.
MALFORMED = (YAMLError, AttributeError, KeyError, TypeError, ValueError)


@contextmanager
def _complaints() -> Iterator[list[str]]:
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


def load(access: Access, document: Mapping[str, Any], configuration: Any, folder: str) -> str:
    """Fill in the configuration; return what an exec plugin complained about."""
    from kubernetes import config  # noqa: PLC0415 - slow

    load: Any = config.load_kube_config_from_dict
    with _complaints() as texts:
        try:
            load(
                config_dict=document,
                context=access.context,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=folder,
            )
        except (config.ConfigException, OSError) as error:
            raise unusable(access, str(error)) from None
        except MALFORMED as error:
            # Not its text: it may quote a line with a key in it.
            raise unusable(access, f"not a kubeconfig: {type(error).__name__}") from None
    return "\n".join(texts)


def unusable(access: Access, cause: str) -> PreflightError:
    text = f"context {access.context} of {access.kubeconfig} cannot be used"
    hint = f"Mend what is named in {access.kubeconfig}, or take another context (--context NAME)."
    return PreflightError("CTO-1403", text, details=api_errors.cut(cause), hint=hint)
