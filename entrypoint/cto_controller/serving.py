"""What others read of the controller: its log, /health, /ready and /metrics."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import prometheus_client as prometheus

from cto.engine.agentsettings import Settings
from cto.engine.tasks import ENDED, RunPhase
from cto.redaction import redacted
from cto_controller.runs import Run, seconds_of

_SECONDS = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


def log(level: str, message: str, **fields: str) -> None:
    """Write a line of JSON. Nothing that looks like a secret gets into it."""
    row = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "level": level, **fields}
    print(redacted(json.dumps({**row, "message": message})), file=sys.stderr, flush=True)  # noqa: T201


class Metrics:
    """Numbers of runs, by agent, as Prometheus reads them."""

    def __init__(self) -> None:
        self.registry = registry = prometheus.CollectorRegistry()
        by = ("agent",)
        self._queued = prometheus.Gauge("cto_runs_queued", "Runs that wait.", by, registry=registry)
        self._running = prometheus.Gauge("cto_runs_running", "Runs at work.", by, registry=registry)
        self._ended = {
            phase: prometheus.Counter(
                f"cto_runs_{phase.lower()}", f"Runs that {phase.lower()}.", by, registry=registry
            )
            for phase in ENDED
        }
        self._seconds = prometheus.Histogram(
            "cto_run_seconds", "How long runs took.", by, buckets=_SECONDS, registry=registry
        )

    def show(self, runs: Sequence[Run], settings: Settings) -> None:
        """Take over how many wait and go on."""
        counts = Counter(
            (_agent(run, settings), run.status.get("phase") == RunPhase.RUNNING)
            for run in runs
            if not run.has_ended
        )
        for agent in {*settings.agents, *(name for name, _ in counts)}:
            self._queued.labels(agent).set(counts[agent, False])
            self._running.labels(agent).set(counts[agent, True])
            for counter in self._ended.values():
                counter.labels(agent)

    def count(self, run: Run, status: Mapping[str, object], settings: Settings) -> None:
        """Count a run that ended."""
        phase, agent = status.get("phase"), _agent(run, settings)
        if phase in ENDED:
            self._ended[RunPhase(str(phase))].labels(agent).inc()
            if (seconds := seconds_of(status)) is not None:
                self._seconds.labels(agent).observe(seconds)


def _agent(run: Run, settings: Settings) -> str:
    found = settings.agent_of(run.app)
    return found[0] if found else "unknown"


class Health:
    """Alive while it makes passes, or waits for its turn; ready once the cluster has answered."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last = time.monotonic()
        self.is_ready = False

    def beat(self) -> None:
        self._last = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self._last < self._patience_s


def serve(port: int, health: Health, metrics: Metrics) -> ThreadingHTTPServer:
    """Answer on a port, from a thread of its own; port 0 is any free one."""
    pages: Mapping[str, Callable[[], tuple[bool, bytes]]] = {
        "/health": lambda: (health.is_alive, b"ok\n" if health.is_alive else b"stuck\n"),
        "/ready": lambda: (health.is_ready, b"ok\n" if health.is_ready else b"not yet\n"),
        "/metrics": lambda: (True, prometheus.generate_latest(metrics.registry)),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            fine, body = page() if page else (False, b"")
            self.send_response(200 if fine else 503 if page else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing: probes come every few seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
