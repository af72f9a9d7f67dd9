package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// Window is a time in which a secret rotates: from Start, up to but not including
// End. Both are whole hours in UTC.
type Window struct {
	Start, End time.Time
}

// NextRotationDate is the last second of the window, which DescribeSecret shows
// under this name.
func (w Window) NextRotationDate() time.Time { return w.End.Add(-time.Second) }

// Contains reports whether the window is open at t.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// Moment returns the time in w at which the secret with this id, its ARN, rotates:
// a whole millisecond in its first nine tenths, so that who comes late still comes in the
// window. It depends on nothing but its arguments, so a restart does not move it. Over many
// secrets it is spread evenly: a thousand that share a schedule would otherwise meet at
// the rotation function, and at the database behind it, in the first second of it.
func Moment(w Window, id string) time.Time {
	span := w.End.Sub(w.Start).Milliseconds() / 10 * 9
	if span <= 0 {
		return w.Start
	}
	// The start goes in, too: no secret is always the last of its window.
	hash := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, uint64(w.Start.Unix())), id...))
	// The high half of the product maps 64 even bits onto [0, span) evenly.
	offset, _ := bits.Mul64(binary.BigEndian.Uint64(hash[:]), uint64(span))
	return w.Start.Add(time.Duration(offset) * time.Millisecond)
}
