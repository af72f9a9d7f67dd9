package gateway

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/api"
)

// Metrics counts calls. Make one per registry.
type Metrics struct {
	calls     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	unknown   prometheus.Counter
	throttled *prometheus.CounterVec
}

// NewMetrics registers the call metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_calls_total", Help: "Calls answered, by service, operation and error code (OK for success).",
		}, []string{"service", "operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_call_seconds", Help: "Time from the request's head read to its answer written.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}, []string{"service", "operation"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_calls_unknown_total", Help: "Calls that named no known operation.",
		}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_calls_throttled_total", Help: "Calls refused because an account called too often, by service and group of operations that share a quota.",
		}, []string{"service", "group"}),
	}
	reg.MustRegister(m.calls, m.seconds, m.unknown, m.throttled)
	return m
}

// opMetrics are one operation's metrics, looked up once: a label lookup per
// call would cost more than the counting.
type opMetrics struct {
	m       *Metrics
	op      *api.Operation
	ok      func() prometheus.Counter
	seconds func() prometheus.Observer
}

// operation prepares the metrics of op. They appear in the registry with the
// first call, so that the page lists what is used and not the whole model.
func (m *Metrics) operation(op *api.Operation) opMetrics {
	return opMetrics{
		m: m, op: op,
		ok: sync.OnceValue(func() prometheus.Counter {
			return m.calls.WithLabelValues(op.Service.Name, op.Name, "OK")
		}),
		seconds: sync.OnceValue(func() prometheus.Observer {
			return m.seconds.WithLabelValues(op.Service.Name, op.Name)
		}),
	}
}

// observe counts the finished call.
func (c *call) observe() {
	m := c.g.cfg.Metrics
	if c.route == nil {
		m.unknown.Inc()
		return
	}
	om := &c.route.metrics
	om.seconds().Observe(time.Since(c.start).Seconds())
	if c.code == "" {
		om.ok().Inc()
		return
	}
	m.calls.WithLabelValues(om.op.Service.Name, om.op.Name, c.code).Inc()
}
