module lab.local/argo-events

go 1.26.0

require github.com/argoproj/argo-events v1.9.11
