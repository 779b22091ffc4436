"""The kinds that a fake API server offers from the start."""

from __future__ import annotations

from typing import Any

from cto.ports import ApiKind

ALL_VERBS = frozenset(
    {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
)
_ONLY_CREATE = frozenset({"create"})

# apiVersion: kind/plural, a star for cluster-scoped kinds, a plus for what can only be created
_TABLE = """
v1: ConfigMap/configmaps Endpoints/endpoints Event/events *Namespace/namespaces *Node/nodes
v1: *PersistentVolume/persistentvolumes PersistentVolumeClaim/persistentvolumeclaims Pod/pods
v1: ReplicationController/replicationcontrollers ResourceQuota/resourcequotas Secret/secrets
v1: LimitRange/limitranges Service/services ServiceAccount/serviceaccounts
apps/v1: ControllerRevision/controllerrevisions DaemonSet/daemonsets Deployment/deployments
apps/v1: ReplicaSet/replicasets StatefulSet/statefulsets
batch/v1: CronJob/cronjobs Job/jobs
autoscaling/v2: HorizontalPodAutoscaler/horizontalpodautoscalers
policy/v1: PodDisruptionBudget/poddisruptionbudgets
networking.k8s.io/v1: Ingress/ingresses *IngressClass/ingressclasses
networking.k8s.io/v1: NetworkPolicy/networkpolicies
discovery.k8s.io/v1: EndpointSlice/endpointslices
coordination.k8s.io/v1: Lease/leases
certificates.k8s.io/v1: *CertificateSigningRequest/certificatesigningrequests
storage.k8s.io/v1: *StorageClass/storageclasses
scheduling.k8s.io/v1: *PriorityClass/priorityclasses
rbac.authorization.k8s.io/v1: *ClusterRole/clusterroles Role/roles RoleBinding/rolebindings
rbac.authorization.k8s.io/v1: *ClusterRoleBinding/clusterrolebindings
apiregistration.k8s.io/v1: *APIService/apiservices
apiextensions.k8s.io/v1: *CustomResourceDefinition/customresourcedefinitions
admissionregistration.k8s.io/v1: *MutatingWebhookConfiguration/mutatingwebhookconfigurations
admissionregistration.k8s.io/v1: *ValidatingWebhookConfiguration/validatingwebhookconfigurations
admissionregistration.k8s.io/v1: *ValidatingAdmissionPolicy/validatingadmissionpolicies
authentication.k8s.io/v1: *+SelfSubjectReview/selfsubjectreviews
authorization.k8s.io/v1: *+SubjectAccessReview/subjectaccessreviews
authorization.k8s.io/v1: *+SelfSubjectAccessReview/selfsubjectaccessreviews
authorization.k8s.io/v1: *+SelfSubjectRulesReview/selfsubjectrulesreviews
authorization.k8s.io/v1: +LocalSubjectAccessReview/localsubjectaccessreviews
"""


def builtin() -> tuple[ApiKind, ...]:
    """Return the kinds of a Kubernetes without any CRD."""
    kinds = []
    for line in _TABLE.strip().splitlines():
        api_version, _, words = line.partition(": ")
        for word in words.split():
            kind, plural = word.lstrip("*+").split("/")
            verbs = _ONLY_CREATE if "+" in word else ALL_VERBS
            kinds.append(ApiKind(api_version, kind, plural, not word.startswith("*"), verbs))
    return tuple(kinds)


def is_established(crd: dict[str, Any]) -> bool:
    """Return whether the server serves the definition's kinds: a moment after it was written."""
    conditions = crd.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def of_crd(crd: dict[str, Any]) -> tuple[ApiKind, ...]:
    """Return the kinds that a CustomResourceDefinition adds, one per served version."""
    spec = crd["spec"]
    names = spec["names"]
    return tuple(
        ApiKind(
            f"{spec['group']}/{version['name']}",
            names["kind"],
            names["plural"],
            spec["scope"] == "Namespaced",
            ALL_VERBS,
        )
        for version in spec["versions"]
        if version.get("served", True)
    )
