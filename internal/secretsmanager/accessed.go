package secretsmanager

import (
	"errors"
	"slices"
	"time"

	"coffer/internal/api"
	"coffer/internal/table"
)

const (
	// maxNotes bounds the reads that wait to be written. Beyond, they are
	// forgotten: the next read of the secret notes the day again.
	maxNotes = 100_000
	// A flush takes that many secrets and versions of each, and starts on no
	// other secret when it has used flushCost of a transaction's 128 operations:
	// 90, and at most 6+3*10 for the last one.
	flushSecrets  = 20
	flushVersions = 10
	flushCost     = 90
)

// accessNote says that versions of a secret were read on a day.
type accessNote struct {
	key      table.Key
	day      table.Millis
	versions []string
}

// noteAccess keeps LastAccessedDate without a write in the read: the first
// successful read of a day is noted in memory, FlushAccessed writes it.
// What has been noted and not flushed is shown already, and lost with the process.
func (s *Service) noteAccess(r *api.Request, sec *Secret, v *Version) {
	day := table.At(r.Time.UTC().Truncate(24 * time.Hour))
	if sec.Accessed >= day && v.Accessed >= day || s.accessed(sec, v) >= day {
		return
	}
	// After: a read counts when it has succeeded as a whole.
	r.After(func() { s.note(sec, v.ID, day) })
}

func (s *Service) note(sec *Secret, version string, day table.Millis) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.notes[sec.UID]
	if n.day == day && slices.Contains(n.versions, version) || s.noted >= maxNotes {
		return
	}
	if n.day != day {
		s.noted -= len(n.versions)
		n = accessNote{key: sec.key(), day: day}
	}
	// A fresh slice: FlushAccessed may hold the old one.
	n.versions = append(n.versions[:len(n.versions):len(n.versions)], version)
	s.notes[sec.UID] = n
	s.noted++
}

// accessed is the day that a version of sec was last read on, noted or written;
// with v nil, any version of it.
func (s *Service) accessed(sec *Secret, v *Version) table.Millis {
	at := sec.Accessed
	if v != nil {
		at = v.Accessed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.notes[sec.UID]; ok && (v == nil || slices.Contains(n.versions, v.ID)) {
		at = max(at, n.day)
	}
	return at
}

// FlushAccessed writes noted reads: one write for each secret and day,
// whatever the number of reads.
func (s *Service) FlushAccessed(r *api.Request) (more bool, err error) {
	batch, more := s.takeNotes()
	done := make(map[string]accessNote, len(batch))
	cost := 0
	for uid, n := range batch {
		if cost >= flushCost {
			more = true
			break
		}
		c, err := writeNote(r.Tx, uid, n)
		if err != nil {
			return false, err
		}
		cost += c
		done[uid] = n
	}
	// Only now, with the commit, are they written; until then they stay noted.
	r.After(func() { s.dropNotes(done) })
	return more, nil
}

// writeNote writes what is known of one secret's reads. cost is the
// operations it took of the transaction.
func writeNote(tx *table.Tx, uid string, n accessNote) (cost int, err error) {
	sec, err := Secrets.Load(tx, n.key)
	if errors.Is(err, table.ErrNotFound) || err == nil && sec.UID != uid {
		return 1, nil // deleted since
	}
	if err != nil {
		return 0, err
	}
	cost = 6 // read twice, written, moved in one index
	sec.Accessed = max(sec.Accessed, n.day)
	for _, id := range n.versions {
		if v := sec.labelled(id); v != nil {
			v.Accessed = max(v.Accessed, n.day)
			continue
		}
		d, err := DeprecatedVersions.Load(tx, sec.part(id))
		if cost++; errors.Is(err, table.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		d.Version.Accessed = max(d.Version.Accessed, n.day)
		if err := DeprecatedVersions.Put(tx, d); err != nil {
			return 0, err
		}
		cost += 2
	}
	return cost, Secrets.Put(tx, sec)
}

// takeNotes copies some notes, no more than one transaction has room for.
func (s *Service) takeNotes() (batch map[string]accessNote, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch = make(map[string]accessNote, flushSecrets)
	for k, n := range s.notes {
		if len(batch) == flushSecrets {
			return batch, true
		}
		n.versions = n.versions[:min(len(n.versions), flushVersions)]
		more = more || len(n.versions) < len(s.notes[k].versions)
		batch[k] = n
	}
	return batch, more
}

func (s *Service) dropNotes(batch map[string]accessNote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, done := range batch {
		n := s.notes[k]
		if n.day != done.day {
			continue // noted anew meanwhile
		}
		left := slices.DeleteFunc(slices.Clone(n.versions), func(id string) bool { return slices.Contains(done.versions, id) })
		s.noted -= len(n.versions) - len(left)
		if n.versions = left; len(left) == 0 {
			delete(s.notes, k)
		} else {
			s.notes[k] = n
		}
	}
}
