package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coffer/internal/kv/pebble"
)

// adminHandler serves health and metrics. It tells figures and no names.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.ready.Load():
			http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
		case s.log.Err() != nil:
			http.Error(w, "the audit log cannot be written: calls are refused", http.StatusServiceUnavailable)
		default:
			w.Write([]byte("ready\n"))
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	return mux
}

// registerMetrics publishes what the store, the caches and the log count.
func (s *Server) registerMetrics() {
	gauge := func(name, help string, f func() float64) {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	counter := func(name, help string, f func() float64) {
		s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f))
	}
	counter("coffer_record_cache_hits_total", "Record reads served from the cache of decoded records.", func() float64 { h, _, _ := s.db.CacheStats(); return float64(h) })
	counter("coffer_record_cache_misses_total", "Record reads that went to the store.", func() float64 { _, m, _ := s.db.CacheStats(); return float64(m) })
	gauge("coffer_record_cache_bytes", "Bytes charged to the cache of decoded records.", func() float64 { _, _, b := s.db.CacheStats(); return float64(b) })
	gauge("coffer_audit_pending", "Mutations whose audit records are committed and not yet in the log.", func() float64 { return float64(s.outbox.Len()) })
	counter("coffer_audit_records_total", "Records appended to the audit log since start.", func() float64 { return float64(s.log.Stats().Records) })
	counter("coffer_audit_bytes_total", "Bytes appended to the audit log since start.", func() float64 { return float64(s.log.Stats().Bytes) })
	counter("coffer_audit_writes_total", "Writes to the audit log since start; each takes the records of all callers waiting.", func() float64 { return float64(s.log.Stats().Writes) })
	counter("coffer_audit_syncs_total", "Syncs of the audit log since start.", func() float64 { return float64(s.log.Stats().Syncs) })
	gauge("coffer_audit_failed", "1 if the audit log cannot be written and calls are refused.", func() float64 {
		if s.log.Err() != nil {
			return 1
		}
		return 0
	})
	if store, ok := s.store.(*pebble.Store); ok {
		m := func(f func(pebble.Metrics) float64) func() float64 {
			return func() float64 { return f(store.Metrics()) }
		}
		counter("coffer_store_commits_total", "Transactions committed since start.", m(func(m pebble.Metrics) float64 { return float64(m.Commits) }))
		counter("coffer_store_conflicts_total", "Transactions run again because another commit changed what they had read.", m(func(m pebble.Metrics) float64 { return float64(m.Conflicts) }))
		gauge("coffer_store_disk_bytes", "Bytes of the store on disk.", m(func(m pebble.Metrics) float64 { return float64(m.DiskBytes) }))
		counter("coffer_store_wal_bytes_total", "Bytes written to the store's log since start.", m(func(m pebble.Metrics) float64 { return float64(m.WALBytes) }))
	}
}
