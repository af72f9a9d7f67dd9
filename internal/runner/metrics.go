package runner

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what functions do. Make one per registry.
type Metrics struct {
	processes   prometheus.Gauge
	starts      prometheus.Counter
	invocations *prometheus.CounterVec
	throttled   prometheus.Counter
	seconds     prometheus.Histogram
	strangers   prometheus.Counter
	dropped     prometheus.Counter
}

// NewMetrics registers the metrics of functions.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		processes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "coffer_function_processes", Help: "Processes that run functions or wait for events.",
		}),
		starts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_function_cold_starts_total", Help: "Processes started for functions.",
		}),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_function_invocations_total", Help: "Invocations by result: success, error (the function's own), timeout, crash, init (it did not start) or refused.",
		}, []string{"result"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_function_throttles_total", Help: "Invocations refused because all processes that may run at once were busy.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coffer_function_seconds", Help: "Duration of invocations, without the start of a process.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 4, 10),
		}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_function_strangers_total", Help: "Connections to a function's Runtime API refused because they came from elsewhere.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_function_log_lines_dropped_total", Help: "Lines of functions' logs that were not kept.",
		}),
	}
	reg.MustRegister(m.processes, m.starts, m.invocations, m.throttled, m.seconds, m.strangers, m.dropped)
	for _, result := range []string{resultSuccess, resultError, resultTimeout, resultCrash, resultInit, resultRefused} {
		m.invocations.WithLabelValues(result)
	}
	return m
}

// Results of invocations.
const (
	resultSuccess = "success"
	resultError   = "error"
	resultTimeout = "timeout"
	resultCrash   = "crash"
	resultInit    = "init"
	resultRefused = "refused"
)
