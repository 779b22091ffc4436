"""What follows from facts: one table. Data only."""

from __future__ import annotations

from cto.support import facts
from cto.support.patterns import Above, Below, Rule, cause

_ROOM = (
    "Add nodes, end what is not needed, or choose a smaller profile (`cto upgrade --to-profile`)."
)

_MACHINE = (
    Rule(
        name="docker-down",
        code="{error.code}",
        likelihood=97,
        file=facts.DOCKER,
        where={"expected": "true", "answers": "false", "error.code": "."},
        says="{error.message}",
        fix="{error.fix}",
    ),
    Rule(
        name="docker-gone",
        code="CTO-1420",
        likelihood=90,
        file=facts.DOCKER,
        where={"expected": "true", "there": "false"},
        says="the cluster runs in Docker, and there is no sign of a Docker here",
    ),
    Rule(
        name="docker-disk",
        code="CTO-1523",
        likelihood=82,
        file=facts.DOCKER,
        where={"free_bytes": Below(1 << 30)},
        says="{free_bytes} bytes are free where Docker keeps its data ({root})",
    ),
    Rule(
        name="registry-gone",
        code="CTO-1530",
        likelihood=93,
        file=facts.DOCKER,
        each="gone",
        says="node {node} asks {registry} for the bundle's images, and it is {state}",
        fix="`docker start {registry}` if it is there; `cto install` makes it anew.",
    ),
    Rule(
        name="disk-full",
        code="CTO-1485",
        likelihood=80,
        file=facts.HOST,
        each="folders",
        where={"free_bytes": Below(256 << 20)},
        says="{free_bytes} bytes are free for the {what} of cto ({path})",
        fix="Make room there (df -h {path}), or name another folder (CTO_CACHE_DIR, "
        "CTO_STATE_DIR).",
    ),
    Rule(
        name="inodes-out",
        code="CTO-1485",
        likelihood=80,
        file=facts.HOST,
        each="folders",
        where={"free_inodes": Below(1000)},
        says="{free_inodes} inodes are free for the {what} of cto ({path})",
        fix="Delete small files there (df -i {path}), or name another folder (CTO_CACHE_DIR, "
        "CTO_STATE_DIR).",
    ),
    Rule(
        name="folder-refused",
        code="CTO-1485",
        likelihood=40,
        file=facts.HOST,
        each="folders",
        where={"refused": "."},
        says="the {what} of cto cannot be written ({path}): {refused}",
    ),
)

_API = (
    Rule(
        name="api-certificate",
        code="CTO-1601",
        likelihood=94,
        file=facts.API,
        where={"error.code": "^CTO-1601$", "error.text": "(?i)certificate|x509"},
        says="{error.message}",
        fix="The API server's certificate is not trusted, or not valid now: look at this machine's "
        "clock and at `certificate-authority` of the kubeconfig; renew it (`kubeadm certs "
        "renew`), or get another kubeconfig from whoever runs the cluster.",
    ),
    Rule(
        name="api-silent",
        code="CTO-1601",
        likelihood=90,
        file=facts.API,
        where={"error.code": "^CTO-1601$", "error.text": "(?is)^(?!.*(certificate|x509))"},
        says="{error.message}",
        fix="{error.fix}",
    ),
    Rule(
        name="credentials",
        code="CTO-1602",
        likelihood=94,
        file=facts.API,
        where={"error.code": "^CTO-1602$", "error.status": "^(401|0)$"},
        says="{error.message}",
        fix="The log-in of the kubeconfig is expired or not known: log in again (of a cloud's "
        "cluster by its own program, as `aws eks update-kubeconfig`), or get another kubeconfig.",
    ),
    Rule(
        name="forbidden",
        code="CTO-1602",
        likelihood=75,
        file=facts.API,
        where={"error.code": "^CTO-1602$", "error.status": "^403$"},
        says="{error.message}",
    ),
    Rule(
        name="api-error",
        code="{error.code}",
        likelihood=85,
        file=facts.API,
        where={"error.code": "^CTO-(?!1601|1602)"},
        says="{error.message}",
        fix="{error.fix}",
    ),
    Rule(
        name="clock-skew",
        code="CTO-1952",
        likelihood=78,
        file=facts.API,
        where={"skew_s": Above(60)},
        says="the API server's clock says {server_time}, this machine's {local_time}",
    ),
)

_RUNS = (
    Rule(
        name="lock-of-dead-run",
        code="CTO-2000",
        likelihood=66,
        file=facts.LOCK,
        where={"held": "true", "lives": "false"},
        says="{holder}, and does not live any more; it renewed it at {renewed}",
        fix="Nothing is to be done about the lock: run the same command again, it takes it over.",
    ),
    Rule(
        name="lock-not-renewed",
        code="CTO-2000",
        likelihood=60,
        file=facts.LOCK,
        where={"held": "true", "lives": "true|unknown", "expired": "true"},
        says="{holder}, and renewed it last at {renewed}: it was killed, stopped, or lost the "
        "cluster",
        fix="See whether it still runs there. If not, run the same command again: it takes the "
        "lock over after a minute.",
    ),
    Rule(
        name="run-killed",
        code="CTO-1950",
        likelihood=64,
        file=facts.HISTORY,
        each="runs",
        where={"last": "true", "outcome": "^running$", "lives": "false"},
        says="run {number} (cto {command}), begun at {started} on {host}, never told its end: it "
        "was killed, or lost the cluster",
    ),
    Rule(
        name="run-interrupted",
        code="CTO-1950",
        likelihood=50,
        file=facts.HISTORY,
        each="runs",
        where={"last": "true", "outcome": "^interrupted$"},
        says="run {number} (cto {command}), begun at {started}, was interrupted",
    ),
    Rule(
        name="run-failed",
        code="{error_code}",
        likelihood=52,
        file=facts.HISTORY,
        each="runs",
        where={"last": "true", "outcome": "^failed$"},
        says="run {number} (cto {command}), begun at {started}, failed: {error}",
    ),
)

_CLUSTER = (
    Rule(
        name="node-not-ready",
        code="CTO-1951",
        likelihood=92,
        file=facts.NODES,
        each="nodes",
        where={"ready": "^(False|Unknown)$"},
        says="node {name} is not ready: {why}",
        fix="`kubectl describe node {name}` says why. Look at that machine: its kubelet, its "
        "container runtime, its network.",
    ),
    Rule(
        name="node-silent",
        code="CTO-1951",
        likelihood=90,
        file=facts.NODES,
        each="nodes",
        where={"ready": "^True$", "silent_since": "."},
        says="node {name} says Ready, and was last heard of at {silent_since}",
        fix="Look at that machine: its kubelet does not run, or does not reach the API server.",
    ),
    Rule(
        name="node-pressure",
        code="CTO-1951",
        likelihood=91,
        file=facts.NODES,
        each="nodes",
        where={"pressure": "."},
        says="node {name}: {pressure}",
        fix="Make room on node {name}: on its disk (images and logs, or the disk of Docker's host "
        "where the node runs in it), or in its memory. New pods get no place there until then.",
    ),
    Rule(
        name="node-cordoned",
        code="CTO-1951",
        likelihood=35,
        file=facts.NODES,
        each="nodes",
        where={"unschedulable": "true"},
        says="node {name} takes no new pods: somebody cordoned it",
        fix="`kubectl uncordon {name}`, once it may take pods again.",
    ),
    Rule(
        name="namespace-stuck",
        code="{code}",
        likelihood=76,
        file=facts.NAMESPACES,
        each="namespaces",
        where={"phase": "^Terminating$", "held": "."},
        says="{held}",
    ),
    Rule(
        name="webhook-silent",
        code="CTO-1475",
        # It may be asked about other objects alone; where pods are refused, "webhook" says so.
        likelihood=65,
        file=facts.WEBHOOKS,
        each="silent",
        says="{configuration} (webhook {webhook}) must answer, and cannot: {reason}",
        fix="Bring its Service back, or, if nobody needs it, delete {configuration}.",
    ),
    Rule(
        name="api-service",
        code="CTO-1953",
        likelihood=70,
        file=facts.API_SERVICES,
        each="unavailable",
        says="APIService {name} is not available: {reason}",
        fix="Let its program run again, or `kubectl delete apiservice {name}` if nobody serves it "
        "any more.",
    ),
    Rule(
        name="object-missing",
        code="CTO-1900",
        likelihood=55,
        file=facts.UNREADY,
        each="objects",
        where={"state": "^missing$"},
        says="{where} was installed, and is not there",
        fix="`cto status --repair`, or `cto install` again, makes it anew.",
    ),
    Rule(
        name="health",
        code="{code}",
        likelihood=20,
        file=facts.HEALTH,
        each="checks",
        where={"status": "^failed$", "code": "."},
        says="{title}: {message}",
        fix="{fix}",
    ),
)

_OBJECTS = (
    cause(
        "image-bundle",
        "CTO-1712",
        95,
        fix="Take the image of cto whose bundle has it, add it to the bundle, or let nodes ask "
        "upstream's registries: `--no-air-gapped`.",
    ),
    cause(
        "image-denied",
        "CTO-1701",
        88,
        fix="The registry wants another log-in: `registry.username` and `registry.password` of the "
        "configuration, then `cto install` again; the Secret of the pod's imagePullSecrets has it.",
    ),
    cause(
        "image-missing|image-name|image-never",
        "CTO-1701",
        87,
        fix="The registry has no such image: check name, tag and digest, and "
        "`components.NAME.values` if they name it.",
    ),
    cause(
        "image-network",
        "CTO-1701",
        80,
        fix="Nodes do not reach the registry: look at their network, DNS and proxy, and at its "
        "certificate; `registry.ca_file` names one of your own.",
    ),
    cause("image", "CTO-1701", 70),
    cause(
        "memory",
        "CTO-1702",
        88,
        fix="Give the container more memory (`components.NAME.values`, or a larger profile), or "
        "find out why it needs so much.",
    ),
    cause("crash", "CTO-1702", 72),
    cause(
        "start",
        "CTO-1702",
        83,
        fix="The program is not in the image, or is not for the node's architecture.",
    ),
    cause("unschedulable", "CTO-1703", 84, name="no-cpu", message="Insufficient cpu", fix=_ROOM),
    cause(
        "unschedulable", "CTO-1703", 84, name="no-memory", message="Insufficient memory", fix=_ROOM
    ),
    cause(
        "unschedulable|nodes",
        "CTO-1703",
        82,
        name="taint",
        message="taint",
        fix="Take the taint away (`kubectl taint node NAME KEY-`), mend what Kubernetes set it "
        "for, or add nodes without it.",
    ),
    cause(
        "unschedulable",
        "CTO-1703",
        82,
        name="volume",
        message="(?i)volume|persistentvolumeclaim",
        fix="Its volume is on another node or in another zone, or is not bound: bring that node "
        "back, or see why the claim is pending.",
    ),
    cause(
        "unschedulable",
        "CTO-1703",
        78,
        name="unschedulable",
        message="(?is)^(?!.*(Insufficient (cpu|memory)|taint|volume|persistentvolumeclaim))",
    ),
    cause(
        "claim-class",
        "CTO-1705",
        89,
        fix="Make a StorageClass the default (annotation "
        "storageclass.kubernetes.io/is-default-class), install a provisioner, or name a class in "
        "the configuration.",
    ),
    cause("claim-provider", "CTO-1705", 80),
    cause("quota", "CTO-1707", 89),
    cause("admission", "CTO-1708", 84),
    cause("webhook", "CTO-1475", 84),
    cause("config-missing", "CTO-1710", 81),
    cause("definition", "CTO-1706", 77),
    cause("finalizer", "CTO-1709", 74),
    cause("namespace-kinds", "CTO-1780", 75),
    cause("control-plane", "CTO-1713", 93),
    cause("unattended", "CTO-1713", 68),
    cause("job-failed", "CTO-1704", 62),
    cause("mount", "CTO-1705", 58),
    cause("sandbox", "CTO-1700", 56),
    cause("create", "CTO-1700", 48),
    cause("probe", "CTO-1711", 46),
    cause("failed", "CTO-1700", 40),
    cause("nodes", "CTO-1703", 38, message="(?is)^(?!.*taint)"),
    cause("attempt", "CTO-1704", 30),
    cause("scale-up", "CTO-1703", 25),
    cause("claim", "CTO-1705", 24),
)

RULES = (*_MACHINE, *_API, *_RUNS, *_CLUSTER, *_OBJECTS)
