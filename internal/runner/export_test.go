package runner

import "time"

// SetInitTimeout is for tests, which cannot wait for AWS's 10 seconds.
func (r *Runner) SetInitTimeout(d time.Duration) { r.initTimeout = d }
