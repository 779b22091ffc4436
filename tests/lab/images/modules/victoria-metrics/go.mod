module lab.local/victoria-metrics

go 1.26.6

require github.com/VictoriaMetrics/VictoriaMetrics v1.150.0
