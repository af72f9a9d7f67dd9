package secretsmanager

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

// The reserved labels. Any other text, AWSSOMETHING included, is a custom one.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "AWSPENDING"
)

const (
	// maxLabels is the quota on labels across all versions of a secret.
	maxLabels = 20
	// keepVersions is how many versions may stay: beyond, deprecated ones
	// that are old enough are removed, the oldest first.
	keepVersions = 100
	// maxVersions is where writes fail. AWS says "about 100" and that one may
	// write every ten minutes without reaching the limit; as versions younger
	// than a day are never removed, 144 must fit.
	maxVersions = 150
	// minAge is how old a deprecated version must be to be removed.
	minAge = 24 * time.Hour
	// cleanOnWrite bounds what a write removes: each costs four of the 128
	// operations a transaction has.
	cleanOnWrite = 5

	// inlineValue is the largest sealed value that is kept in its version's
	// row, and inlineRow how much one secret's row may hold of them.
	inlineValue = 4 << 10
	inlineRow   = 16 << 10

	textLabels   = "You can't attach more than 20 staging labels to the versions of a secret."
	textVersions = "You've reached the quota of versions for this secret. Versions that were created in the last 24 hours aren't removed."
)

func (v *Version) has(label string) bool { return slices.Contains(v.Stages, label) }

// defaultKey reports whether the value is under the account's AWS managed key.
func (v *Version) defaultKey() bool {
	return len(v.Keys) > 0 && v.Keys[len(v.Keys)-1] == defaultKeyShown
}

// detach takes a label from a version.
func (v *Version) detach(label string) {
	if v != nil {
		v.Stages = slices.DeleteFunc(v.Stages, func(l string) bool { return l == label })
	}
}

// attach puts a label on a version, and takes it from whichever had it.
func (s *Secret) attach(v *Version, label string) {
	if v.has(label) {
		return
	}
	s.holder(label).detach(label)
	v.Stages = append(v.Stages, label)
}

// moveCurrent gives AWSCURRENT to v and AWSPREVIOUS to the version that had it;
// whoever had AWSPREVIOUS loses it, also when that is v.
func (s *Secret) moveCurrent(v *Version) {
	old := s.holder(current)
	if old == v {
		return
	}
	s.attach(v, current)
	if old != nil {
		s.attach(old, previous)
	}
}

// label gives a version that has just got its value the labels asked for
// (spec §4), by default AWSCURRENT. v is one of s.Versions.
func (s *Secret) label(v *Version, stages []string) {
	first := s.holder(current) == nil
	takes := first || len(stages) == 0 || slices.Contains(stages, current)
	if takes {
		s.moveCurrent(v)
		// Whatever was pending elsewhere is overtaken.
		if p := s.holder(pending); p != v {
			p.detach(pending)
		}
	}
	for _, l := range stages {
		// AWSPREVIOUS has just gone to where AWSCURRENT was; asked for together
		// with AWSCURRENT it would leave nothing to roll back to.
		if l == current || l == previous && takes && !first {
			continue
		}
		s.attach(v, l)
	}
}

// currentID is the id of the version with AWSCURRENT, "" if there is none.
func (s *Secret) currentID() string {
	if v := s.holder(current); v != nil {
		return v.ID
	}
	return ""
}

func (s *Secret) labels() (n int) {
	for i := range s.Versions {
		n += len(s.Versions[i].Stages)
	}
	return n
}

// plainValue is a secret value of a request. It is the request's: not to be wiped.
type plainValue struct {
	kind  valueKind
	bytes api.Sensitive
}

// valueOf takes the value of a request; kind noValue when there is none.
func valueOf(text, blob api.Sensitive) (plainValue, error) {
	switch {
	case text != nil && blob != nil:
		return plainValue{}, smapi.InvalidParameterException(textBothValues)
	case text != nil:
		return plainValue{textValue, text}, nil
	case blob != nil:
		return plainValue{binaryValue, blob}, nil
	}
	return plainValue{}, nil
}

// maxValue is the quota on a value in bytes. The model counts characters, so a
// text may have passed it and still be too large.
const maxValue = 65536

func checkSize(text, blob api.Sensitive) error {
	if len(text) > maxValue {
		return api.ValidationException(fmt.Sprintf(textValueTooLarge, "secretString"))
	}
	if len(blob) > maxValue {
		return api.ValidationException(fmt.Sprintf(textValueTooLarge, "secretBinary"))
	}
	return nil
}

// addVersion stores a value as version id of s, with labels. If that version
// has a value already the call is a repetition: it must carry the same value,
// and nothing changes. The result is not to be changed.
func addVersion(r *api.Request, s *Secret, id string, val plainValue, stages []string) (v *Version, added bool, err error) {
	v, err = s.version(r.Tx, id)
	if err != nil {
		return nil, false, err
	}
	if v != nil && v.Kind != noValue {
		same, err := equalValue(r, s, v, val)
		if err != nil {
			return nil, false, err
		}
		if !same {
			return nil, false, smapi.ResourceExistsException(fmt.Sprintf(textTokenTaken, id, s.arn()))
		}
		return v, false, nil
	}
	if v == nil { // else it is reserved by a rotation, hence labelled
		s.Versions = append(s.Versions, Version{ID: id})
	}
	v = s.labelled(id)
	v.Created = table.At(r.Time)
	blob, err := seal(r, s, v, val)
	if err != nil {
		return nil, false, err
	}
	if err := place(r.Tx, s, v, blob); err != nil {
		return nil, false, err
	}
	before := s.currentID()
	s.label(v, stages)
	if s.labels() > maxLabels {
		return nil, false, smapi.LimitExceededException(textLabels)
	}
	if err := s.overtaken(r, before); err != nil {
		return nil, false, err
	}
	if now := s.currentID(); now != before {
		err = s.rotated(r.Time)
	}
	return v, true, err
}

func equalValue(r *api.Request, s *Secret, v *Version, val plainValue) (bool, error) {
	plain, err := load(r, s, s.arn(), v)
	if err != nil {
		return false, err
	}
	defer clear(plain)
	return v.Kind == val.kind && subtle.ConstantTimeCompare(plain, val.bytes) == 1, nil
}

// place puts a sealed value where its size says.
func place(tx *table.Tx, s *Secret, v *Version, blob []byte) error {
	inline := len(blob)
	for i := range s.Versions {
		inline += len(s.Versions[i].Value)
	}
	if len(blob) <= inlineValue && inline <= inlineRow {
		v.Value = blob
		return nil
	}
	return Values.Put(tx, &Value{Account: s.Account, Region: s.Region, UID: s.UID, Name: s.Name, Version: v.ID, Sealed: blob})
}

// load reads and opens a version's value. The caller owns the bytes.
func load(r *api.Request, s *Secret, secretARN string, v *Version) ([]byte, error) {
	blob := v.Value
	if len(blob) == 0 {
		row, err := Values.Get(r.Tx, s.part(v.ID))
		if err != nil {
			return nil, fmt.Errorf("value of version %s of %s: %w", v.ID, secretARN, err)
		}
		blob = row.Sealed
	}
	return open(r, secretARN, v, blob)
}

// save stores a changed secret: versions that lost their last label are
// deprecated, old ones removed when there are too many.
func save(r *api.Request, s *Secret) error {
	kept := s.Versions[:0]
	for _, v := range s.Versions {
		switch {
		case len(v.Stages) > 0:
			kept = append(kept, v)
		case v.Kind != noValue:
			v.Stages = nil // as the row reads back: readers get this very record
			d := &Deprecated{Account: s.Account, Region: s.Region, UID: s.UID, Name: s.Name, Version: v}
			if err := DeprecatedVersions.Insert(r.Tx, d); err != nil {
				return err
			}
			s.Deprecated++
		}
	}
	clear(s.Versions[len(kept):])
	s.Versions = kept
	if err := retain(r, s, cleanOnWrite); err != nil {
		return err
	}
	if len(s.Versions)+s.Deprecated > maxVersions {
		return smapi.LimitExceededException(textVersions)
	}
	s.Changed = table.At(r.Time)
	return Secrets.Put(r.Tx, s)
}

// retain removes the oldest deprecated versions as long as there are too many
// and they are old enough, at most limit of them, and sets when to look again.
func retain(r *api.Request, s *Secret, limit int) error {
	s.CleanAt = 0
	if len(s.Versions)+s.Deprecated <= keepVersions || s.Deprecated == 0 {
		return nil
	}
	var gone []string
	for e, err := range DeprecatedVersions.ScanIndex(r.Tx, byDeprecatedCreated, table.Range{Prefix: s.part()}) {
		if err != nil {
			return err
		}
		parts := e.Key.Parts()
		created, err := strconv.ParseUint(parts[3], 16, 64)
		if err != nil {
			return fmt.Errorf("%w: index %s: %w", table.ErrDamaged, byDeprecatedCreated, err)
		}
		if len(s.Versions)+s.Deprecated-len(gone) <= keepVersions {
			break
		}
		free := table.At(table.Millis(created).Time().Add(minAge))
		if len(gone) == limit || free > table.At(r.Time) {
			s.CleanAt = max(free, 1)
			break
		}
		gone = append(gone, parts[4])
	}
	for _, id := range gone {
		emitDelete(r, s, s.arn(), startDelete, id)
		if err := removeDeprecated(r, s, s.arn(), id); err != nil {
			return err
		}
	}
	s.Deprecated -= len(gone)
	return nil
}

// removeDeprecated removes a deprecated version for good; of s only the place
// is used.
func removeDeprecated(r *api.Request, s *Secret, secretARN, id string) error {
	emitDelete(r, s, secretARN, endDelete, id)
	if err := DeprecatedVersions.Delete(r.Tx, s.part(id)); err != nil {
		return err
	}
	return Values.Delete(r.Tx, s.part(id))
}

// revive brings a deprecated version back among those with labels; nil if
// there is no such version.
func revive(tx *table.Tx, s *Secret, id string) (*Version, error) {
	if v := s.labelled(id); v != nil {
		return v, nil
	}
	d, err := DeprecatedVersions.Load(tx, s.part(id))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := DeprecatedVersions.Delete(tx, s.part(id)); err != nil {
		return nil, err
	}
	s.Deprecated--
	s.Versions = append(s.Versions, d.Version)
	return s.labelled(id), nil
}
