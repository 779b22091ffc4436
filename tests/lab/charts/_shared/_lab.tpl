{{/* What all stand-ins share: shape.yaml in, Kubernetes objects out. See README.md. */}}

{{/* Name as most charts make it: RELEASE, or RELEASE-NAME unless the release holds the name. */}}
{{- define "lab.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}{{ .Release.Name }}
{{- else }}{{ .Release.Name }}-{{ $name }}
{{- end }}
{{- end }}

{{/* The first value of each key along a chain of image blocks: (list BLOCK BLOCK ...). */}}
{{- define "lab.image" -}}
{{- $image := dict }}
{{- range . }}
{{- range $key, $value := default dict . }}
{{- if and $value (not (hasKey $image $key)) }}{{ $_ := set $image $key $value }}{{ end }}
{{- end }}
{{- end }}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- with $image.tag }}:{{ . }}{{ end }}
{{- with coalesce $image.digest $image.sha }}@{{ ternary . (printf "sha256:%s" .) (hasPrefix "sha256:" .) }}{{ end }}
{{- end }}

{{/* (list ROOT PART) */}}
{{- define "lab.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- with index (default dict $root.Chart.Annotations) "cto.dev/part-of" }}
app.kubernetes.io/part-of: {{ . }}
{{- end }}
{{- end }}

{{- define "lab.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{/* (list ROOT ITEM): labels, annotations, and what makes a hook of it. */}}
{{- define "lab.metadata" -}}
{{- $root := index . 0 }}{{ $item := index . 1 -}}
name: {{ $item.name }}
labels:
  {{- include "lab.labels" (list $root (default $root.Chart.Name $item.part)) | nindent 2 }}
{{- with merge (dict) (default dict $item.annotations) (default dict $item.hook) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* (list ROOT WORKLOAD) */}}
{{- define "lab.pod" -}}
{{- $root := index . 0 }}{{ $item := index . 1 }}
{{- $values := default dict $item.values -}}
metadata:
  labels:
    {{- include "lab.labels" (list $root $item.part) | nindent 4 }}
    {{- with merge (dict) (default dict $item.labels) (default dict $values.podLabels) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    cto.dev/stand-in-version: {{ $root.Chart.Version | quote }}
    {{- with $item.checksum }}
    checksum/config: {{ toJson . | sha256sum }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with $item.serviceAccount }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- if hasKey $item "automount" }}
  automountServiceAccountToken: {{ $item.automount }}
  {{- end }}
  {{- with $item.restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with $item.podSecurity }}
  securityContext: {{ toJson . }}
  {{- end }}
  {{- with $item.pullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  nodeSelector: {{ toJson (default (dict "kubernetes.io/os" "linux") $values.nodeSelector) }}
  {{- with coalesce $values.affinity $item.affinity }}
  affinity: {{ toJson . }}
  {{- end }}
  {{- range $key := list "tolerations" "priorityClassName" }}
  {{- with index $values $key }}
  {{ $key }}: {{ toJson . }}
  {{- end }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $selector := dict "labelSelector" (dict "matchLabels" (include "lab.selector" (list $root $item.part) | fromYaml)) }}
    {{- range . }}
    - {{ merge (dict) . $selector | toJson }}
    {{- end }}
  {{- end }}
  {{- with $item.initContainers }}
  initContainers: {{ toJson . }}
  {{- end }}
  containers:
    - name: {{ $item.container }}
      image: {{ $item.image | quote }}
      imagePullPolicy: {{ default "IfNotPresent" $item.policy }}
      {{- range $key := list "command" "args" }}
      {{- with index $item $key }}
      {{ $key }}: {{ toJson . }}
      {{- end }}
      {{- end }}
      {{- with concat (default list $item.env) (default list (coalesce $values.extraEnv $values.env)) }}
      env: {{ toJson . }}
      {{- end }}
      {{- with $item.ports }}
      ports:
        {{- range $name, $port := . }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
      {{- end }}
      {{- with $item.ready }}
      readinessProbe: {{ toJson . }}
      {{- end }}
      {{- with $item.live }}
      livenessProbe: {{ toJson . }}
      {{- end }}
      {{- with $item.startup }}
      startupProbe: {{ toJson . }}
      {{- end }}
      {{- with $values.resources }}
      resources: {{ toJson . }}
      {{- end }}
      {{- with $item.security }}
      securityContext: {{ toJson . }}
      {{- end }}
      {{- if or $item.mounts $values.volumeMounts }}
      volumeMounts:
        {{- range $name, $path := $item.mounts }}
        - {name: {{ $name }}, mountPath: {{ $path }}}
        {{- end }}
        {{- range $values.volumeMounts }}
        - {{ toJson . }}
        {{- end }}
      {{- end }}
    {{- range $item.sidecars }}
    - {{ toJson . }}
    {{- end }}
  {{- if or $item.volumes $values.volumes }}
  volumes:
    {{- range $name, $source := $item.volumes }}
    - {{ toJson (merge (dict "name" $name) $source) }}
    {{- end }}
    {{- range $values.volumes }}
    - {{ toJson . }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* (list ROOT WORKLOAD): a Deployment, StatefulSet, DaemonSet or Job. */}}
{{- define "lab.workload" -}}
{{- $root := index . 0 }}{{ $item := index . 1 }}
{{- $isJob := eq $item.kind "Job" -}}
apiVersion: {{ ternary "batch/v1" "apps/v1" $isJob }}
kind: {{ $item.kind }}
metadata:
  {{- include "lab.metadata" . | nindent 2 }}
  namespace: {{ $root.Release.Namespace }}
spec:
  {{- if $isJob }}
  {{- with $item.backoffLimit }}
  backoffLimit: {{ . }}
  {{- end }}
  {{- with $item.ttl }}
  ttlSecondsAfterFinished: {{ . }}
  {{- end }}
  {{- else }}
  {{- if has $item.kind (list "Deployment" "StatefulSet") }}
  replicas: {{ $item.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  {{- with $item.strategy }}
  {{ ternary "updateStrategy" "strategy" (ne $item.kind "Deployment") }}: {{ toJson . }}
  {{- end }}
  {{- if eq $item.kind "StatefulSet" }}
  serviceName: {{ default $item.name $item.service }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "lab.selector" (list $root $item.part) | nindent 6 }}
  {{- end }}
  template:
    {{- include "lab.pod" . | nindent 4 }}
  {{- with $item.claims }}
  volumeClaimTemplates:
    {{- range . }}
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: {{ .name }}}
      spec: {{ omit . "name" | toJson }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* The rules of a role: those that a real program needs, or just so many where nothing runs. */}}
{{- define "lab.rules" -}}
{{- if kindIs "slice" . }}
rules: {{ toJson . }}
{{- else }}
{{- $resources := list "configmaps" "secrets" "pods" "services" "events" "endpoints" "serviceaccounts" }}
rules:
{{- if not . }} []{{ end }}
{{- range $i := until (int .) }}
  - apiGroups: [""]
    resources: [{{ index $resources (mod $i 7) }}]
    verbs: [get, list, watch]
    resourceNames: [stand-in-{{ $i }}]
{{- end }}
{{- end }}
{{- end }}
