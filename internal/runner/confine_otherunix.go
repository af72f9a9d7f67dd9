//go:build unix && !linux

package runner

func (s *spec) setLimits(c confinement) {
	s.Private = c.private
	s.Limits = limits{FileSize: uint64(c.storage) << 20, Files: 1024}
}
