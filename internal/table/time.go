package table

import (
	"fmt"
	"time"
)

// Millis is a stored point in time: milliseconds since 1970 UTC, the precision
// of AWS's timestamps. Zero means no time.
type Millis int64

// At converts a time, rounding down to the millisecond. The zero time is zero.
func At(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time converts back, in UTC. Zero gives the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// Ptr is Time for a member of an answer: nil when there is no time.
func (m Millis) Ptr() *time.Time {
	if m == 0 {
		return nil
	}
	return new(m.Time())
}

// Part is m as a part of a key: sixteen hexadecimal digits that order as time
// does. Times before 1970 do not occur.
func (m Millis) Part() string { return fmt.Sprintf("%016x", uint64(max(m, 0))) }
