"""Every error of the installer: one table, and the exceptions that carry its rows.

A code is `CTO-` and four digits, 1000 + 100 x exit code + a running number, so the exit code
follows from the code: CTO-1203 exits with 2, CTO-2001 with 10. Codes are never reused.
docs/errors.md and `cto explain` come from this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from cto.providers import choices


def nearest(word: str, choices: Iterable[str], *, likeness: float = 0.7) -> str:
    """Return the choice that the word was probably meant to be, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - most runs have no typing error

    known = {choice.lower(): choice for choice in choices}
    found = get_close_matches(word.lower(), known, n=1, cutoff=likeness)
    return known[found[0]] if found else ""


class Exit(IntEnum):
    """Exit codes that belong to no class of errors alone."""

    OK = 0
    DEGRADED = 9
    PENDING = 11
    INTERRUPTED = 130


@dataclass(frozen=True)
class ErrorKind:
    """One row of the table.

    Attributes:
        code: `CTO-1203`.
        title: What went wrong, in a few words.
        cause: Why this happens.
        fix: What to do about it. A raised error may carry a more exact one.
    """

    code: str
    title: str
    cause: str
    fix: str

    @property
    def exit_code(self) -> int:
        return (int(self.code.removeprefix("CTO-")) - 1000) // 100


class CtoError(Exception):
    """An error that a user can act on.

    Args:
        code: A code of the table.
        message: What happened, with the field, file or object and the value.
        details: The raw cause: an API message, the last lines of a tool. Never a secret.
        hint: What to do; the table's fix when empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, details: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.kind = KINDS[code]
        if self.kind.exit_code != self.exit_code:
            text = f"{code} does not belong to {type(self).__name__}"
            raise ValueError(text)
        self.message = message
        self.details = details
        self.hint = hint or self.kind.fix

    @property
    def code(self) -> str:
        return self.kind.code

    def told(self, *, details: str | None = None, hint: str | None = None) -> Self:
        """Return the same error with other words beside its message; this one stays as it is.

        Args:
            details: Instead of its own.
            hint: Instead of its own.
        """
        other = type(self).__new__(type(self), *self.args)
        vars(other).update(vars(self))
        other.details = self.details if details is None else details
        other.hint = self.hint if hint is None else hint
        return other.with_traceback(self.__traceback__)


class UsageError(CtoError):
    """The command line cannot be carried out as it stands."""

    exit_code = 2


class ConfigError(CtoError):
    """The configuration, the catalog or a template is wrong."""

    exit_code = 3


class PreflightError(CtoError):
    """The machine or the cluster does not meet what the plan needs."""

    exit_code = 4


class ToolError(CtoError):
    """A program that we run failed, or cannot be had."""

    exit_code = 5

    @property
    def program_is_missing(self) -> bool:
        return self.code == "CTO-1501"

    @property
    def registry_is_silent(self) -> bool:
        return self.code == "CTO-1510"

    @property
    def login_is_refused(self) -> bool:
        return self.code == "CTO-1511"

    @property
    def image_is_missing(self) -> bool:
        """Whether the registry answered, and has no such image."""
        return self.code == "CTO-1513"

    @property
    def name_is_taken(self) -> bool:
        """Whether there is a container of that name."""
        return self.code == "CTO-1522"


class ApiError(CtoError):
    """The cluster's API refused or did not answer.

    Attributes:
        status: The HTTP status, 0 if there was no answer.
        reason: Kubernetes' machine-readable reason, e.g. `AlreadyExists`; may be empty.
        causes: Field and text of everything that validation refused; no text for Secrets.
    """

    exit_code = 6

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        details: str = "",
        hint: str = "",
        causes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(code, message, details=details, hint=hint)
        self.status = status
        self.reason = reason
        self.causes = causes

    @property
    def is_silence(self) -> bool:
        """Whether no answer came at all."""
        return self.code == "CTO-1601"

    @property
    def is_unauthorized(self) -> bool:
        """Whether it is the user's rights or log-in that are refused."""
        return self.code == "CTO-1602"

    @property
    def is_forbidden(self) -> bool:
        """Whether the log-in is taken, and lacks a permission."""
        return self.is_unauthorized and self.status == 403

    @property
    def is_absence(self) -> bool:
        """Whether what was asked for is not there, the kind itself included."""
        return self.code == "CTO-1603"

    @property
    def is_conflict(self) -> bool:
        """Whether the object is there already, or is not the one that was read."""
        return self.code == "CTO-1604"

    @property
    def is_invalid(self) -> bool:
        """Whether validation or admission refuses the object."""
        return self.code == "CTO-1605"


class WaitError(CtoError):
    """Something did not become ready, in time or at all."""

    exit_code = 7


class IntegrityError(CtoError):
    """Bytes are not what their digest says."""

    exit_code = 8


class DegradedError(CtoError):
    """The platform is there and not healthy."""

    exit_code = Exit.DEGRADED


class LockedError(CtoError):
    """Another installer is at work."""

    exit_code = 10


@contextmanager
def if_interrupted(text: str) -> Iterator[None]:
    """Let an interruption of the block say the text, if nobody inside knows better."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(str(stopped) or text) from None


class Cancelled(Exception):  # noqa: N818 - not an error: the run was asked to stop
    """A call ended because the run is stopping."""


_TABLE = (
    ErrorKind(
        "CTO-1100",
        "Internal error",
        "The installer met a state that its authors did not expect.",
        "Run the command again with --debug and report the traceback. Nothing that worked was "
        "taken away, and running the same command again is safe.",
    ),
    # 2: the command line
    ErrorKind(
        "CTO-1200",
        "Wrong use of the command line",
        "An option or argument is unknown, missing or contradicts another.",
        "See `cto COMMAND --help`.",
    ),
    ErrorKind(
        "CTO-1201",
        "Which cluster?",
        "The kubeconfig has several contexts and the command names none.",
        "Repeat the command with `--context NAME`.",
    ),
    ErrorKind(
        "CTO-1202",
        "No cluster to work on",
        "There is no kubeconfig with a context, and no provider was named.",
        "Start Docker, name a kubeconfig (`--kubeconfig FILE`), or make a simulated cluster "
        "(`--provider kwok`).",
    ),
    ErrorKind(
        "CTO-1203",
        "Context not in the kubeconfig",
        "The context that was named does not exist in the kubeconfig that was read.",
        "Take one of the names that `kubectl config get-contexts` lists.",
    ),
    ErrorKind(
        "CTO-1204",
        "Confirmation needed",
        "The command deletes or replaces something, and nobody is there to confirm it.",
        "Look at `cto plan uninstall`, `cto plan upgrade` or `cto plan rollback`, then repeat the "
        "command with `--yes`.",
    ),
    ErrorKind(
        "CTO-1205",
        "Unknown error code",
        "`cto explain` was asked for a code that is not in its table.",
        "`cto explain` without a code lists them all; the README lists the exit codes.",
    ),
    ErrorKind(
        "CTO-1206",
        "Which cluster is to be deleted?",
        "cto has made clusters by several providers, and the command names none.",
        f"Repeat the command with {choices(creating=True, form='`--provider {}`')}.",
    ),
    ErrorKind(
        "CTO-1207",
        "Nothing to go back to",
        "`cto rollback` goes back to what there was before a run, for as long as that is kept: "
        "twenty runs, and ten revisions of each release.",
        "`cto history` shows the runs; name one by `--to N`.",
    ),
    ErrorKind(
        "CTO-1290",
        "Not a support bundle",
        "The file that `cto diagnose` was given is missing, damaged, or was not written by "
        "`cto support-bundle`.",
        "Make one (`cto support-bundle -o FILE`), or look at the cluster itself: "
        "`cto diagnose --live`.",
    ),
    # 3: configuration, catalog, templates
    ErrorKind(
        "CTO-1300",
        "Invalid configuration",
        "One or more values of the configuration do not fit their fields.",
        "Each line names the field, the value, where it came from, and what fits. "
        "`cto config schema` prints the whole schema.",
    ),
    ErrorKind(
        "CTO-1301",
        "Configuration file unreadable",
        "The file is missing, not readable, or not valid YAML.",
        "Correct the file at the line that is named; `cto config init` writes a fresh one.",
    ),
    ErrorKind(
        "CTO-1302",
        "Unknown profile",
        "The profile is neither one of the built-in names nor a readable file.",
        "Take minimal, standard, production, or the path of a profile file of your own.",
    ),
    ErrorKind(
        "CTO-1310",
        "Invalid catalog",
        "A component's folder under bundle/components does not follow the format.",
        "Correct the file and field that are named; CONTRIBUTING.md describes the format.",
    ),
    ErrorKind(
        "CTO-1311",
        "Template cannot be rendered",
        "A template names a value that is not defined, or has a syntax error.",
        "Correct the template at the line that is named.",
    ),
    ErrorKind(
        "CTO-1312",
        "Invalid lock of images",
        "The lock file does not follow its format, or cannot be written.",
        "Take the committed file back, or let `cto bundle lock` write it anew.",
    ),
    ErrorKind(
        "CTO-1320",
        "The plan cannot be carried out",
        "Two settings contradict each other, e.g. high availability on a single node.",
        "Change the configuration as the message says.",
    ),
    ErrorKind(
        "CTO-1330",
        "No digest is known for an image of the registry",
        "Images are pulled from a registry of yours by digest, and neither the mapping, nor the "
        "bundle, nor the lock has the digest of one that is needed.",
        "Name what `cto bundle push --output json` wrote (`registry.mapping`).",
    ),
    ErrorKind(
        "CTO-1331",
        "Not a mapping of images",
        "The file that `registry.mapping` names is not readable, or not what `cto bundle push "
        "--output json` writes.",
        "Write it anew: `cto bundle push DIR HOST/FOLDER --output json > mapping.json`; what is in "
        "the registry is not sent again.",
    ),
    ErrorKind(
        "CTO-1355",
        "Too large for the cluster to keep",
        "The API takes 1 MiB in a Secret or ConfigMap. Helm keeps a release's values in one, and "
        "the installer its state, both packed.",
        "Take what is large out of `components.NAME.values`: put it into ConfigMaps of your own, "
        "which the chart's values can name (Grafana: `dashboardsConfigMaps`, or its sidecar).",
    ),
    ErrorKind(
        "CTO-1360",
        "A setting of the network cannot be used",
        "A variable that names a proxy (`HTTPS_PROXY`, `HTTP_PROXY`) or certificates "
        "(`SSL_CERT_FILE`, `SSL_CERT_DIR`, `CTO_CA_FILE`), or what stands for it in an option or a "
        "file, holds something else.",
        "Correct the value that the message names. A proxy is "
        "[http://][USER:PASSWORD@]HOST[:PORT]; certificates are in PEM.",
    ),
    ErrorKind(
        "CTO-1370",
        "GitHub Apps cannot be set up like this",
        "The configuration lacks what is needed for that, the key of an App that it names is none, "
        "its Secret is somebody else's, or an App whose events are to be forwarded has no webhook.",
        "The message names the field; correct it, and repeat the command with `-c FILE`.",
    ),
    # 4: preflight
    ErrorKind(
        "CTO-1400",
        "Preflight checks failed",
        "The machine or the cluster does not meet what the platform needs.",
        "Each line names what is missing and how to get it.",
    ),
    ErrorKind(
        "CTO-1401",
        "Something foreign is in the way",
        "A release, namespace or custom resource definition of the same name exists, and was "
        "not made by this installer.",
        "Use it (`components.NAME.mode: external`), or hand it over: the message has the command.",
    ),
    ErrorKind(
        "CTO-1402",
        "The cluster was written by a newer installer",
        "The state in the cluster has a schema or version newer than this program knows.",
        "Use the version that is named, or a newer one.",
    ),
    ErrorKind(
        "CTO-1403",
        "Kubeconfig cannot be used from here",
        "The kubeconfig names addresses, files or programs that do not exist in this container; it "
        "cannot be read or written; or kubectl and helm would not read it, or read it as another "
        "cluster or user.",
        "The message has the line that helps.",
    ),
    ErrorKind(
        "CTO-1404",
        "Kubeconfig is locked",
        "Another program is changing the kubeconfig, or ended without taking its lock file away.",
        "Repeat the command. If no such program runs, remove the lock file that is named.",
    ),
    ErrorKind(
        "CTO-1420",
        "No Docker answers",
        "There is no Docker daemon at the address that is named, or it is not running.",
        "Start Docker. In a container, mount its socket: "
        "`-v /var/run/docker.sock:/var/run/docker.sock`. Or name where it listens: DOCKER_HOST.",
    ),
    ErrorKind(
        "CTO-1421",
        "Docker refuses access",
        "This user may not use the Docker socket.",
        "Add the user to the socket's group (often docker), or run the command as root.",
    ),
    ErrorKind(
        "CTO-1422",
        "Docker's version does not fit",
        "The daemon and the docker client have no API version in common.",
        "Update Docker. If DOCKER_API_VERSION is set, remove it.",
    ),
    ErrorKind(
        "CTO-1423",
        "Not a Docker that can be used",
        "What answers is not Docker, or runs in a way in which kind nodes do not work.",
        "The message names what was found. Name another daemon (DOCKER_HOST), or use a cluster "
        "that exists (`--provider existing`).",
    ),
    ErrorKind(
        "CTO-1424",
        "A foreign cluster is in the way",
        "There is a kind cluster of that name which this installer did not make.",
        "Install on it as it is (`--provider existing --context kind-NAME`), or make another one "
        "beside it (`--cluster-name NAME`).",
    ),
    ErrorKind(
        "CTO-1430",
        "The bundle cannot be served from here",
        "Nodes get the bundle's images from a container of an image that holds the bundle, and "
        "there is no such image, or it is another bundle.",
        "Run cto by `docker run`, or name an image of cto that Docker has: CTO_IMAGE.",
    ),
    ErrorKind(
        "CTO-1440",
        "Images are missing in the registry",
        "The registry that the configuration names does not have images under their digests.",
        "Push the bundle of the profile (`cto bundle push`), and name the mapping that the push "
        "writes (`registry.mapping`).",
    ),
    ErrorKind(
        "CTO-1441",
        "The registry cannot be asked about its images",
        "It does not answer this machine, or refuses the log-in.",
        "Check address, certificates (`registry.ca_file`) and log-in. If only the cluster can "
        "reach it: `registry.check: false`.",
    ),
    ErrorKind(
        "CTO-1470",
        "A downgrade that nobody asked for",
        "Charts or custom resource definitions are older than those that are installed. The older "
        "programs may not read what the newer ones wrote.",
        "Take a cto, a bundle or charts that are not older. To go back all the same: back up the "
        "data, then `--allow-downgrade`.",
    ),
    ErrorKind(
        "CTO-1471",
        "The API server would refuse an object of the plan",
        "An object changes in a field that cannot be changed, or does not pass validation: its "
        "dry run says so. The same command can only end the same way.",
        "Each line names component, object and field; the way out is below it.",
    ),
    ErrorKind(
        "CTO-1472",
        "A custom resource definition would lose stored objects",
        "The definition has objects stored in a version that the chart's definition lacks. The API "
        "server refuses that, as they could not be read any more.",
        "Take a chart whose definition has that version; or migrate the objects, and then take the "
        "version out of the definition's status.storedVersions.",
    ),
    ErrorKind(
        "CTO-1473",
        "An upgrade in between is needed",
        "A chart may not follow one that is as old as what is installed: its program reads what "
        "the one in between wrote, and nothing older.",
        "Run `cto upgrade` of an image in between first, and then that of this one.",
    ),
    ErrorKind(
        "CTO-1474",
        "A revision to go back to is gone",
        "Helm keeps ten revisions of each release; the one that is asked for is not among them.",
        "Name a later run (`cto rollback --to N`); or give the older charts (`--charts DIR`, "
        "`components.NAME.version`) to `cto upgrade --allow-downgrade`, after a backup.",
    ),
    ErrorKind(
        "CTO-1475",
        "An admission webhook refuses what would be written",
        "It has to answer before such an object is taken, and does not: its Service is gone, has "
        "no ready endpoints, or a certificate that nobody trusts. Or it does answer, and refuses.",
        "Bring its Service back, or delete the configuration that is named if nobody needs it.",
    ),
    ErrorKind(
        "CTO-1476",
        "The nodes cannot run the images",
        "The bundle was built for another architecture than the nodes have.",
        "Take a bundle of the nodes' platform (`cto bundle build --platform`), or other nodes.",
    ),
    ErrorKind(
        "CTO-1485",
        "A folder cannot be written",
        "A folder that the command needs, or its file system, refuses: no permission, read only, "
        "full, or over a quota.",
        "Make it writable, or name another one: CTO_CACHE_DIR for what is fetched, CTO_STATE_DIR "
        "for clusters that are made and locks, TMPDIR for temporary files. `cto plan`, `status`, "
        "`config` and `explain` need none.",
    ),
    # 5: external tools, charts, downloads
    ErrorKind(
        "CTO-1500",
        "A program failed",
        "A program that the installer runs ended with an error.",
        "Its last lines are shown: mend what they name. What worked stays, and the same command "
        "goes on from there; as long as the cause is there, it ends here again.",
    ),
    ErrorKind(
        "CTO-1501",
        "Program not available",
        "A program is not in the tools folder, the cache, the mirror, nor at its download site.",
        "Give a folder with the programs (`--tools DIR`), or a mirror (CTO_MIRROR).",
    ),
    ErrorKind(
        "CTO-1502",
        "Chart not available",
        "A chart is not in the charts folder, the cache, the mirror, nor at its repository.",
        "Give a folder with the charts (`--charts DIR`), or a mirror (CTO_MIRROR).",
    ),
    ErrorKind(
        "CTO-1503",
        "Helm left an operation pending, and it may still run",
        "A helm process of an earlier run has not ended yet.",
        "Wait for it, or end the process that is named, then repeat the command.",
    ),
    ErrorKind(
        "CTO-1504",
        "Cluster could not be made",
        "A program that makes the cluster failed.",
        "Its last lines and log files are shown: mend what they name, then the same command starts "
        "anew.",
    ),
    ErrorKind(
        "CTO-1505",
        "A node port is taken",
        "Another Service of the cluster has a node port that a component of the platform needs.",
        "Give that Service another port or delete it, or install without node ports "
        "(`platform.ingress_type: none`).",
    ),
    ErrorKind(
        "CTO-1510",
        "Registry cannot be reached",
        "No answer came from the registry, nor from a mirror of it, or the connection kept "
        "breaking.",
        "Check network, proxy and certificates (a CA of your own has to be named). What was "
        "transferred is kept: the same command goes on from there.",
    ),
    ErrorKind(
        "CTO-1511",
        "Registry refuses access",
        "The registry wants a log-in, or the one that it got lacks the permission.",
        "Log in (`docker login HOST`), or ask for the permission that is named.",
    ),
    ErrorKind(
        "CTO-1512",
        "Registry limits requests",
        "The registry answered several times that there were too many requests.",
        "Log in, use a mirror, or wait as long as it says. What was transferred is kept: the same "
        "command goes on from there.",
    ),
    ErrorKind(
        "CTO-1513",
        "Not in the registry",
        "The registry does not have the image, or it does not have it for the platform.",
        "Check name, tag, digest and platform. A digest that vanished upstream has to be locked "
        "anew.",
    ),
    ErrorKind(
        "CTO-1514",
        "Registry refused a request",
        "The registry answered with an error, or with something that no registry answers.",
        "The answer is shown: mend what it names, or ask whoever runs the registry. "
        "What was transferred is kept: the same command goes on from there.",
    ),
    ErrorKind(
        "CTO-1520",
        "Docker refused a command",
        "The Docker daemon could not do what was asked.",
        "Mend what its answer names; then the same command goes on from there.",
    ),
    ErrorKind(
        "CTO-1521",
        "Docker cannot get an image",
        "The image is not where Docker looks for it, or that place cannot be reached from there.",
        "Check the image's name and that Docker's host reaches its registry. "
        "CTO_NODE_IMAGE names another node image, also one that Docker has already.",
    ),
    ErrorKind(
        "CTO-1522",
        "Name taken in Docker",
        "A container of this name exists, and is not ours or was made at the same moment.",
        "Look at it with `docker inspect`; rename or remove it if it is not needed.",
    ),
    ErrorKind(
        "CTO-1523",
        "Docker's disk is full",
        "There is no room left where Docker keeps images and containers.",
        "Make room: `docker system df` tells what takes it. Then the same command goes on.",
    ),
    ErrorKind(
        "CTO-1530",
        "The bundle's registry does not run",
        "The container that serves the bundle's images to the nodes ends, or does not answer.",
        "Its last lines are shown. `docker rm -f` it; the same command makes it anew.",
    ),
    ErrorKind(
        "CTO-1560",
        "A log-in cannot be had from its helper",
        "Docker's configuration says that a program (`credsStore`, `credHelpers`) keeps the log-in "
        "of a registry. It is not here, as in a container, or it fails.",
        "Run `cto` where the helper works, or give the log-in itself: `registry.username` and "
        "`registry.password`, or a `DOCKER_CONFIG` without a helper.",
    ),
    ErrorKind(
        "CTO-1570",
        "A chart cannot be rendered",
        "A template of the chart fails with the values that it gets, or the archive is no chart "
        "that Helm can read. No cluster is asked for that, so trying again changes nothing.",
        "Correct `components.NAME.values`, or take another version of the chart.",
    ),
    ErrorKind(
        "CTO-1571",
        "The API server refused an object of a chart",
        "An object does not pass validation, changes a field that cannot be changed, is denied by "
        "admission, or belongs to somebody else.",
        "The message names component, object and field: correct the values, or what denies it. As "
        "long as neither changes, the same command ends here again.",
    ),
    ErrorKind(
        "CTO-1580",
        "GitHub does not answer",
        "Nothing, or something else than GitHub's API, answers at the address of its API: "
        "a proxy's or firewall's page, another server.",
        "Look whether this machine reaches it (`HTTPS_PROXY`, `NO_PROXY`, `CTO_CA_FILE`), and "
        "whether `github.url` is right.",
    ),
    ErrorKind(
        "CTO-1581",
        "GitHub refuses a request",
        "The App's key, its permissions, its installation, or this machine's clock does not do.",
        "The message has what GitHub said.",
    ),
    ErrorKind(
        "CTO-1582",
        "GitHub wants to be left alone",
        "Too much was asked of it in a short time, by this address or with this App.",
        "Repeat the command after the time that is named.",
    ),
    ErrorKind(
        "CTO-1583",
        "The receiver of webhooks in the cluster does not take them",
        "It is not there yet, its event bus is not ready, or it checks signatures with another "
        "secret than Secret github-app-webhooks has.",
        "Look at `cto status`. After the Secret was changed, the receiver has to be restarted. "
        "What GitHub keeps is handed over by the next attempt.",
    ),
    # 6: cluster API
    ErrorKind(
        "CTO-1600",
        "The cluster's API refused a request",
        "The API server answered with an error.",
        "If the answer is about the server itself (5xx, etcd), the same command goes on once it is "
        "well. If it is about the request, show it to whoever runs the cluster: the same command "
        "gets the same answer.",
    ),
    ErrorKind(
        "CTO-1601",
        "The cluster's API cannot be reached",
        "No answer came from the API server's address.",
        "Check that the cluster runs and that its address can be reached from here.",
    ),
    ErrorKind(
        "CTO-1602",
        "Not allowed",
        "The credentials are missing, expired, or lack a permission.",
        "Log in again, or ask for the permission that is named.",
    ),
    ErrorKind(
        "CTO-1603",
        "Object does not exist",
        "The API server has no such object or no such kind: somebody deleted it meanwhile, or what "
        "brings the kind is not installed.",
        "If a kind is named, see that its definition is there (`kubectl get crds`). If an object "
        "is named, see that nobody else deletes it, then repeat the command: it makes what it "
        "needs.",
    ),
    ErrorKind(
        "CTO-1604",
        "Conflict",
        "The object exists already, or was changed by somebody else at the same time.",
        "Run the same command again.",
    ),
    ErrorKind(
        "CTO-1605",
        "Object refused",
        "Validation, a quota or an admission policy of the cluster refused an object.",
        "The message names the object and the policy: change it, or ask for an exception.",
    ),
    # 7: waiting
    ErrorKind(
        "CTO-1700",
        "Not ready in time",
        "The objects of a component did not become ready before the step's time was over.",
        "The last known cause is shown: mend it if it does not pass by itself. The same command "
        "goes on from there; where all is just slow, give it more time: --step-timeout 30m.",
    ),
    ErrorKind(
        "CTO-1701",
        "Image cannot be pulled",
        "A node cannot get an image: it does not exist, or the registry cannot be reached.",
        "Check the image's name, the registry and the pull secret.",
    ),
    ErrorKind(
        "CTO-1702",
        "Container keeps crashing",
        "A container ends again and again right after its start.",
        "Its last log line is shown; `kubectl logs --previous` has the rest.",
    ),
    ErrorKind(
        "CTO-1703",
        "Pod cannot be scheduled",
        "No node has room for the pod, or none fits its rules.",
        "Add nodes or memory, or choose a smaller profile.",
    ),
    ErrorKind(
        "CTO-1704",
        "Job failed",
        "A Job, often the hook of a chart, used up its attempts.",
        "Mend what the reason and the last log line name. The same command runs a hook anew; "
        "delete any other Job first (`kubectl delete job NAME -n NAMESPACE`).",
    ),
    ErrorKind(
        "CTO-1705",
        "Volume is not provided",
        "A PersistentVolumeClaim stays pending: no StorageClass, or its provisioner fails.",
        "Name a StorageClass, or make one the default.",
    ),
    ErrorKind(
        "CTO-1706",
        "Custom resource definition not established",
        "The API server does not accept the definition.",
        "The condition is shown. Often another definition has the same names: `kubectl get crds`.",
    ),
    ErrorKind(
        "CTO-1707",
        "Quota exceeded",
        "A ResourceQuota of the namespace does not allow the pods.",
        "Raise the quota that is named, or choose a smaller profile.",
    ),
    ErrorKind(
        "CTO-1708",
        "Pods are refused",
        "An admission policy refuses to create the pods.",
        "The policy's message is shown: change the policy or label the namespace.",
    ),
    ErrorKind(
        "CTO-1709",
        "Object will not be deleted",
        "A finalizer holds the object: the program that would remove it does not run or fails.",
        "The finalizer is named. Start its program, or remove the finalizer yourself.",
    ),
    ErrorKind(
        "CTO-1710",
        "Secret or ConfigMap missing",
        "A container cannot start because a Secret, ConfigMap or key that it names is not there.",
        "The message names it. Make it, or run the same command again if the installer makes it.",
    ),
    ErrorKind(
        "CTO-1711",
        "Program does not answer its probe",
        "A container runs, and its startup or readiness probe fails.",
        "The probe's answer is shown; `kubectl logs` has what the program says.",
    ),
    ErrorKind(
        "CTO-1712",
        "Image is not in the bundle",
        "A pod needs an image that the bundle does not have, and nodes may ask nobody else.",
        "Take the image of cto whose bundle has it (`cto bundle list DIR`), or let nodes ask "
        "upstream's registries: `--no-air-gapped`.",
    ),
    ErrorKind(
        "CTO-1713",
        "Kubernetes does not look at it",
        "The scheduler or the controllers of Kubernetes are not at work: they ended, are starting, "
        "or do not reach the API server.",
        "Look at them: `kubectl -n kube-system get pods,leases`, or your provider's status page. "
        "Once they are back, the same command goes on from here.",
    ),
    ErrorKind(
        "CTO-1780",
        "Namespace cannot be emptied",
        "Kubernetes takes a namespace away only when it can list every kind that there is; an "
        "APIService or a conversion webhook, of whomever, does not answer.",
        "The message names it. Let its program run again, or remove what nobody serves any more "
        "(`kubectl delete apiservice NAME`, or the CRD). The namespace goes by itself then; the "
        "same command again does the rest.",
    ),
    # 8: integrity
    ErrorKind(
        "CTO-1800",
        "Wrong digest",
        "The bytes that were read do not have the digest that is pinned.",
        "The file was removed. Try again; if it stays, the source is not to be trusted.",
    ),
    ErrorKind(
        "CTO-1801",
        "No digest is pinned",
        "For this file and platform no published checksum is known, and what cannot be verified "
        "is not used.",
        "Give the file yourself (`--tools DIR` or `--charts DIR`).",
    ),
    ErrorKind(
        "CTO-1810",
        "Bundle is damaged",
        "Files of the bundle are missing, too many, cut off, or not what their digests say.",
        "Each line names a file and the images that need it. Copy or build the bundle again: files "
        "that are right are kept, the others are fetched anew.",
    ),
    ErrorKind(
        "CTO-1811",
        "Not a bundle",
        "The folder holds no OCI image layout that `cto bundle build` wrote, or the build did not "
        "finish.",
        "Name the folder that a `cto bundle build` wrote to its end; in an image of cto it is the "
        "one of $CTO_BUNDLE. A build that did not end goes on where it was, by the same command.",
    ),
    # 9: degraded
    ErrorKind(
        "CTO-1900",
        "The platform is not healthy",
        "One or more health checks failed.",
        "Each failed check names its fix. `cto install` again repairs what was changed.",
    ),
    ErrorKind(
        "CTO-1901",
        "The platform is not installed",
        "There is no state of this installer in the cluster.",
        "Run `cto install`.",
    ),
    ErrorKind(
        "CTO-1902",
        "Backups cannot be made or restored",
        "There is no place for them, it cannot be reached, or Velero does not work.",
        "Set features.backup: true, object_store or features.object_store, and run `cto install`.",
    ),
    ErrorKind(
        "CTO-1903",
        "Mails cannot be tested",
        "The platform sends none, or the program that would send one is not there.",
        "Set features.mail_notifications: true and smtp in the configuration, and run "
        "`cto install`.",
    ),
    ErrorKind(
        "CTO-1950",
        "A run did not come to its end",
        "An earlier run was killed, interrupted, or lost the cluster. What it did stays, and some "
        "of what it wanted is not done.",
        "Run the same command again: it goes on from there. `cto history` shows the runs.",
    ),
    ErrorKind(
        "CTO-1951",
        "A node cannot be used",
        "It is not ready, was not heard of for a while, or is short of disk, memory or processes: "
        "new pods get no place there, and its own may be moved away.",
        "Look at `kubectl describe node NAME`: it says why. Make room on its disk or memory, or "
        "let its kubelet run again.",
    ),
    ErrorKind(
        "CTO-1952",
        "Clocks differ",
        "The API server's clock and this machine's are far from each other: log-ins, certificates "
        "and Leases are taken for expired, or for not valid yet.",
        "Set both by NTP (`timedatectl` tells whether that works).",
    ),
    ErrorKind(
        "CTO-1953",
        "An API of the cluster is not served",
        "An APIService says that its server does not answer. Whoever asks for all kinds, as for "
        "the deletion of a namespace, waits for it or fails.",
        "Let its program run again, or remove what nobody serves any more: "
        "`kubectl delete apiservice NAME`.",
    ),
    # 10: lock
    ErrorKind(
        "CTO-2000",
        "Another run is at work on this cluster",
        "Another installer holds the lock of the cluster.",
        "Wait for it. The message says how to see that it is alive.",
    ),
    ErrorKind(
        "CTO-2001",
        "The lock was lost",
        "This run could not renew the lock for a while (the API server did not answer, or the "
        "process was stopped), and another installer took it meanwhile.",
        "Run the same command again when the other run is over.",
    ),
)

KINDS: dict[str, ErrorKind] = {kind.code: kind for kind in _TABLE}
