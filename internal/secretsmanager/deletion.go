package secretsmanager

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/table"
)

const (
	minWindow, maxWindow, defaultWindow = 7, 30, 30 // days

	// sweepWithSecret and sweepAlone are how many deprecated versions go in the
	// transaction that removes their secret, and in one of their own. Each
	// costs four of the 128 operations that a transaction has.
	sweepWithSecret = 12
	sweepAlone      = 24
	// purgeCost is what removing secrets may cost in one transaction.
	purgeCost = 110

	textWindow         = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
	textWindowAndForce = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
)

func resolveDeleteSecret(r *api.Request, in *smapi.DeleteSecretInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

func deleteSecret(r *api.Request, in *smapi.DeleteSecretInput, t *target) (*smapi.DeleteSecretOutput, error) {
	force := api.Value(in.ForceDeleteWithoutRecovery)
	s, err := t.existing()
	if err != nil && (!force || t.name == "") {
		return nil, err
	}
	switch days := in.RecoveryWindowInDays; {
	case force && days != nil:
		return nil, smapi.InvalidParameterException(textWindowAndForce)
	case days != nil && (*days < minWindow || *days > maxWindow):
		return nil, smapi.InvalidParameterException(textWindow)
	case s == nil:
		return t.neverThere(r), nil
	}
	out := &smapi.DeleteSecretOutput{ARN: new(s.arn()), Name: new(s.Name), DeletionDate: new(r.Time)}
	if force {
		if err := emitAll(r, s, startDelete); err != nil {
			return nil, err
		}
		_, err := purge(r, s)
		return out, err
	}
	if s.Deleted != 0 {
		return nil, smapi.InvalidRequestException(textMarked)
	}
	window := defaultWindow
	if in.RecoveryWindowInDays != nil {
		window = int(*in.RecoveryWindowInDays)
	}
	s.Deleted = table.At(r.Time.Add(time.Duration(window) * 24 * time.Hour))
	if err := s.pause(r); err != nil {
		return nil, err
	}
	out.DeletionDate = s.Deleted.Ptr()
	if err := emitAll(r, s, startDelete); err != nil {
		return nil, err
	}
	return out, save(r, s)
}

// neverThere is the answer to a forced deletion of a secret that does not
// exist: success, with an invented ARN. CloudFormation and clean-up scripts
// count on that.
func (t *target) neverThere(r *api.Request) *smapi.DeleteSecretOutput {
	a := t.arn
	if name, ok := strings.CutSuffix(a, anySuffix); ok {
		a = name + "-" + randomText(suffixLength)
	}
	return &smapi.DeleteSecretOutput{ARN: &a, Name: new(t.name), DeletionDate: new(r.Time)}
}

func resolveRestoreSecret(r *api.Request, in *smapi.RestoreSecretInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

// restoreSecret of a live secret succeeds and changes nothing.
func restoreSecret(r *api.Request, _ *smapi.RestoreSecretInput, t *target) (*smapi.RestoreSecretOutput, error) {
	s, err := t.existing()
	if err != nil {
		return nil, err
	}
	out := &smapi.RestoreSecretOutput{ARN: new(s.arn()), Name: new(s.Name)}
	if s.Deleted == 0 {
		return out, nil
	}
	s.Deleted = 0
	if s.Rotation != nil {
		if err := errors.Join(s.Rotation.plan(s.arn(), r.Time), s.resume(r)); err != nil {
			return nil, err
		}
	}
	if err := emitAll(r, s, cancelDelete); err != nil {
		return nil, err
	}
	return out, save(r, s)
}

// purge removes a secret for good, and as many of its deprecated versions as
// the transaction has room for; PurgeDue removes the rest. From here on the name is
// free and nothing of the secret can be reached. cost is what it took of the
// transaction, roughly.
func purge(r *api.Request, s *Secret) (cost int, err error) {
	if err := Secrets.Delete(r.Tx, s.key()); err != nil {
		return 0, err
	}
	if s.Rotation != nil {
		if err := errors.Join(s.dropRotation(r), Histories.Delete(r.Tx, s.part())); err != nil {
			return 0, err
		}
	}
	if s.HasPolicy {
		if err := Policies.Delete(r.Tx, s.part()); err != nil {
			return 0, err
		}
	}
	for i := range s.Versions {
		v := &s.Versions[i]
		emitDelete(r, s, s.arn(), endDelete, v.ID)
		if v.Kind != noValue && len(v.Value) == 0 {
			if err := Values.Delete(r.Tx, s.part(v.ID)); err != nil {
				return 0, err
			}
		}
	}
	if s.Deprecated == 0 {
		return purgeEstimate(s), nil
	}
	done, err := sweep(r, s, s.arn(), sweepWithSecret)
	if err == nil && !done {
		err = Purges.Put(r.Tx, &Purge{Account: s.Account, Region: s.Region, UID: s.UID, ARN: s.arn(), Since: table.At(r.Time)})
	}
	return purgeEstimate(s), err
}

// purgeEstimate is at least what purge costs in operations of the transaction.
func purgeEstimate(s *Secret) int {
	// The secret: read twice, deleted, its six indexes; its policy; its rotation and the
	// history of it; scan and row of the rest.
	n := 18
	for i := range s.Versions {
		if len(s.Versions[i].Value) == 0 {
			n++
		}
	}
	return n + 4*min(s.Deprecated, sweepWithSecret)
}

// sweep removes deprecated versions of a secret that is gone; of s only the
// place is used.
func sweep(r *api.Request, s *Secret, secretARN string, limit int) (done bool, err error) {
	var ids []string
	for e, err := range DeprecatedVersions.ScanIndex(r.Tx, byDeprecatedCreated, table.Range{Prefix: s.part()}) {
		if err != nil {
			return false, err
		}
		if ids = append(ids, e.Record.Parts()[3]); len(ids) > limit {
			break
		}
	}
	for _, id := range ids[:min(len(ids), limit)] {
		if err := removeDeprecated(r, s, secretARN, id); err != nil {
			return false, err
		}
	}
	return len(ids) <= limit, nil
}

// PurgeDue removes secrets whose recovery window is over, and what forced
// deletions left. It finds both by their rows in a queue, never by looking
// through secrets.
func (s *Service) PurgeDue(r *api.Request) (more bool, err error) {
	for e, err := range Purges.Scan(r.Tx, table.Range{}) {
		if err != nil {
			return false, err
		}
		p := e.Value
		done, err := sweep(r, &Secret{Account: p.Account, Region: p.Region, UID: p.UID}, p.ARN, sweepAlone)
		if err == nil && done {
			err = Purges.Delete(r.Tx, Purges.Key(p))
		}
		return true, err
	}
	keys, more, err := due(r, byDue, purgeCost/purgeEstimate(&Secret{}))
	if err != nil {
		return false, err
	}
	cost := 2 // the scans
	for i, k := range keys {
		sec, err := Secrets.Load(r.Tx, k)
		if err != nil {
			return false, fmt.Errorf("index %s: %w", byDue, err)
		}
		if i > 0 && cost+1+purgeEstimate(sec) > purgeCost {
			return true, nil
		}
		n, err := purge(r, sec)
		if err != nil {
			return false, err
		}
		cost += 1 + n
		more = more || sec.Deprecated > sweepWithSecret
	}
	return more, nil
}

// CleanDeprecated removes the oldest deprecated versions of secrets that have
// too many, once they are old enough. What writes removed already is not here.
func (s *Service) CleanDeprecated(r *api.Request) (more bool, err error) {
	keys, more, err := due(r, byCrowd, 1)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	sec, err := Secrets.Load(r.Tx, keys[0])
	if err != nil {
		return false, fmt.Errorf("index %s: %w", byCrowd, err)
	}
	if err := retain(r, sec, sweepAlone); err != nil {
		return false, err
	}
	// Not save: nobody changed the secret, so its LastChangedDate stays.
	return more || sec.CleanAt != 0 && sec.CleanAt <= table.At(r.Time), Secrets.Put(r.Tx, sec)
}

// due finds up to limit secrets that are due in a work queue.
func due(r *api.Request, queue string, limit int) (keys []table.Key, more bool, err error) {
	now := table.At(r.Time).Part()
	for e, err := range Secrets.ScanIndex(r.Tx, queue, table.Range{}) {
		if err != nil {
			return nil, false, err
		}
		if parts := e.Key.Parts(); len(parts) == 0 || strings.Compare(parts[0], now) > 0 {
			break
		}
		if len(keys) == limit {
			return keys, true, nil
		}
		keys = append(keys, e.Record)
	}
	return keys, false, nil
}

// The service events of a version's deletion (CloudTrail "non-API events").
const (
	startDelete  = "StartSecretVersionDelete"
	cancelDelete = "CancelSecretVersionDelete"
	endDelete    = "EndSecretVersionDelete"
)

// emitDelete records a step of a version's deletion; of s only the place is
// used. Members of the data beside SecretId are not on record.
func emitDelete(r *api.Request, s *Secret, secretARN, event, id string) {
	data := map[string]string{"SecretId": secretARN, "SecretVersionId": id}
	if event == startDelete && s.Deleted != 0 {
		data["DeletionDate"] = s.Deleted.Time().Format(time.RFC3339)
	}
	r.Emit(api.ServiceEvent{Name: event, Account: s.Account, Region: s.Region, Data: data})
}

// emitAll records a step for every version of a secret.
func emitAll(r *api.Request, s *Secret, event string) error {
	secretARN := s.arn()
	for i := range s.Versions {
		emitDelete(r, s, secretARN, event, s.Versions[i].ID)
	}
	if s.Deprecated == 0 {
		return nil
	}
	for e, err := range DeprecatedVersions.ScanIndex(r.Tx, byDeprecatedCreated, table.Range{Prefix: s.part()}) {
		if err != nil {
			return err
		}
		emitDelete(r, s, secretARN, event, e.Record.Parts()[3])
	}
	return nil
}
