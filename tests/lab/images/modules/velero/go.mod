module lab.local/velero

go 1.25.8

require (
	github.com/vmware-tanzu/velero v1.18.2
	github.com/vmware-tanzu/velero-plugin-for-aws v1.14.3
	k8s.io/api v0.34.4
	k8s.io/apiextensions-apiserver v0.34.4
	k8s.io/apimachinery v0.34.4
	k8s.io/cli-runtime v0.34.4
	k8s.io/client-go v0.34.4
	k8s.io/kube-aggregator v0.34.4
	k8s.io/metrics v0.34.4
)

replace github.com/kopia/kopia => github.com/project-velero/kopia v0.0.0-20251230033609-d946b1e75197
