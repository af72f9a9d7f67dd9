package secretsmanager

import (
	"errors"
	"fmt"

	"coffer/internal/table"
)

// Check goes through all rows of the service and reports, in words, every
// reference that leads nowhere, every row that nothing leads to, and every
// secret that breaks a rule on labels. It opens no values: those are under
// KMS keys. The error is one of reading. For fsck, in a View transaction.
func Check(tx *table.Tx, report func(problem string)) error {
	for e, err := range Secrets.Scan(tx, table.Range{}) {
		if err != nil {
			return err
		}
		if err := checkSecret(tx, e.Value, report); err != nil {
			return err
		}
	}
	for e, err := range DeprecatedVersions.Scan(tx, table.Range{}) {
		if err != nil {
			return err
		}
		d := e.Value
		owner, err := ownerOf(tx, d.Account, d.Region, d.Name, d.UID)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("deprecated version %s of %s/%s/%s", d.Version.ID, d.Account, d.Region, d.Name)
		switch {
		case owner == nil:
			waits, err := purgeWaits(tx, d)
			if err != nil {
				return err
			}
			if !waits {
				report(what + ": its secret does not exist")
			}
		case owner.labelled(d.Version.ID) != nil:
			report(what + ": the secret has a version of that id with labels")
		}
		if len(d.Version.Stages) > 0 {
			report(what + ": has labels")
		}
		if err := checkValue(tx, what, d.Account, d.Region, d.UID, &d.Version, report); err != nil {
			return err
		}
	}
	for e, err := range Values.Scan(tx, table.Range{}) {
		if err != nil {
			return err
		}
		if err := checkValueOwner(tx, e.Value, report); err != nil {
			return err
		}
	}
	for e, err := range Policies.Scan(tx, table.Range{}) {
		if err != nil {
			return err
		}
		p := e.Value
		owner, err := ownerOf(tx, p.Account, p.Region, p.Name, p.UID)
		if err != nil {
			return err
		}
		if owner == nil || !owner.HasPolicy {
			report(fmt.Sprintf("resource policy of %s/%s/%s: no secret has it", p.Account, p.Region, p.Name))
		}
	}
	return nil
}

func checkSecret(tx *table.Tx, s *Secret, report func(string)) error {
	what := s.arn()
	ids, labels := map[string]bool{}, map[string]bool{}
	hasValue := s.Deprecated > 0
	for i := range s.Versions {
		v := &s.Versions[i]
		if ids[v.ID] {
			report(fmt.Sprintf("%s: two versions have the id %s", what, v.ID))
		}
		ids[v.ID] = true
		if len(v.Stages) == 0 {
			report(fmt.Sprintf("%s: version %s has no labels and is not deprecated", what, v.ID))
		}
		for _, l := range v.Stages {
			if labels[l] {
				report(fmt.Sprintf("%s: label %s is on two versions", what, l))
			}
			labels[l] = true
		}
		hasValue = hasValue || v.Kind != noValue
		if err := checkValue(tx, what+": version "+v.ID, s.Account, s.Region, s.UID, v, report); err != nil {
			return err
		}
	}
	if hasValue && !labels[current] {
		report(what + ": has values and no AWSCURRENT")
	}
	if len(labels) > maxLabels {
		report(fmt.Sprintf("%s: %d labels", what, len(labels)))
	}
	n := 0
	for _, err := range DeprecatedVersions.ScanIndex(tx, byDeprecatedCreated, table.Range{Prefix: s.part()}) {
		if err != nil {
			return err
		}
		n++
	}
	if n != s.Deprecated {
		report(fmt.Sprintf("%s: counts %d deprecated versions and has %d", what, s.Deprecated, n))
	}
	if s.HasPolicy {
		if _, err := Policies.Load(tx, s.part()); errors.Is(err, table.ErrNotFound) {
			report(what + ": its resource policy is missing")
		} else if err != nil {
			return err
		}
	}
	return nil
}

func checkValue(tx *table.Tx, what, account, region, uid string, v *Version, report func(string)) error {
	if v.Kind == noValue {
		return nil
	}
	if len(v.DataKey) == 0 {
		report(what + ": has no data key")
	}
	if len(v.Value) > 0 {
		return nil
	}
	_, err := Values.Load(tx, table.K(account, region, uid, v.ID))
	if errors.Is(err, table.ErrNotFound) {
		report(what + ": its value is missing")
		return nil
	}
	return err
}

func checkValueOwner(tx *table.Tx, v *Value, report func(string)) error {
	what := fmt.Sprintf("value of version %s of %s/%s/%s", v.Version, v.Account, v.Region, v.Name)
	d, err := DeprecatedVersions.Load(tx, table.K(v.Account, v.Region, v.UID, v.Version))
	var owned *Version
	switch {
	case err == nil:
		owned = &d.Version
	case !errors.Is(err, table.ErrNotFound):
		return err
	default:
		owner, err := ownerOf(tx, v.Account, v.Region, v.Name, v.UID)
		if err != nil {
			return err
		}
		if owner != nil {
			owned = owner.labelled(v.Version)
		}
	}
	switch {
	case owned == nil:
		report(what + ": no version has it")
	case len(owned.Value) > 0:
		report(what + ": the version has its value in its own row")
	}
	return nil
}

// ownerOf is the secret that rows with these marks belong to; nil if it is gone.
func ownerOf(tx *table.Tx, account, region, name, uid string) (*Secret, error) {
	s, err := Secrets.Load(tx, table.K(account, region, name))
	if errors.Is(err, table.ErrNotFound) || err == nil && s.UID != uid {
		return nil, nil
	}
	return s, err
}

func purgeWaits(tx *table.Tx, d *Deprecated) (bool, error) {
	_, err := Purges.Load(tx, table.K(d.Account, d.Region, d.UID))
	if errors.Is(err, table.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
