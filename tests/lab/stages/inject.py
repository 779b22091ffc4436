#!/usr/bin/env python3
"""Failures to inject into a simulated cluster: stages that go before the healthy ones.

    python3 tests/lab/stages/inject.py crash-loop --namespace velero | kubectl apply -f -
    python3 tests/lab/stages/inject.py crash-loop --namespace velero | kubectl delete -f -

Without --namespace a failure strikes the pods with the annotation `lab.cto.dev/fault: NAME`. It
strikes objects at their next event, and is over some seconds after the stages are gone.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
ANNOTATION = "lab.cto.dev/fault"

# What each failure can be told, and what it does untold.
FAULTS: dict[str, dict[str, str]] = {
    # %[1]s is the image.
    "image-pull": {"code": "NotFound", "cause": "%[1]s: not found"},
    "crash-loop": {"reason": "Error", "exit": "1", "log": str(HERE / "crash.log")},
    "job-failure": {"reason": "Error", "exit": "1", "log": str(HERE / "crash.log")},
    "config-error": {"cause": 'secret "stand-in" not found'},
    "not-ready": {"cause": "HTTP probe failed with statuscode: 503"},
    "slow": {"milliseconds": "60000"},
    "claim-pending": {"cause": "no space left on the simulated disk"},
}


def manifests(fault: str, *, namespace: str = "", prefix: str = "", **options: str) -> str:
    """Return the YAML of a failure, for kubectl or a YAML loader.

    Args:
        fault: A key of FAULTS.
        namespace: Strikes what lives there, instead of what has the annotation.
        prefix: Of these only objects whose names begin so.
        options: Changes to the fault's entry in FAULTS.

    Raises:
        KeyError: There is no such fault, or it has no such option.
    """
    values = dict(FAULTS[fault])
    if unknown := set(options) - set(values):
        raise KeyError(*sorted(unknown))
    values.update(options)
    name = f"fault-{fault}-{namespace}-{prefix}".strip("-").replace("--", "-")
    tokens = {"name": name, "select": _select(fault, namespace, prefix), **values}
    if "log" in values:
        tokens["logs"] = _logs(name, namespace, values["log"])
    text = (HERE / f"{fault}.yaml").read_text(encoding="utf-8")
    return re.sub(r"@([a-z]+)@", lambda match: tokens[match[1]], text)


def _select(fault: str, namespace: str, prefix: str) -> str:
    if namespace:
        place = f".metadata.namespace == {json.dumps(namespace)}"
        name = f"(.metadata.name | startswith({json.dumps(prefix)}))"
        key, values = f"{place} and {name}", ["true"]
    else:
        key, values = f".metadata.annotations[{json.dumps(ANNOTATION)}]", [fault]
    return json.dumps({"jq": {"key": key, "operator": "In", "values": values}})


def _logs(name: str, namespace: str, file: str) -> str:
    """Every container of the namespace (of all, if none is named) has written this file."""
    spec: dict[str, object] = {"logs": [{"logsFile": file, "previousLogsFile": file}]}
    if namespace:
        spec["selector"] = {"matchNamespaces": [namespace]}
    return json.dumps(
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterLogs",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the stages of an injected failure.")
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--namespace", default="")
    parser.add_argument("--prefix", default="", help="only objects whose names begin so")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    options = parser.parse_args()
    changes = dict(item.split("=", 1) for item in options.set)
    print(manifests(options.fault, namespace=options.namespace, prefix=options.prefix, **changes))


if __name__ == "__main__":
    main()
