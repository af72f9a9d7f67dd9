package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"coffer/internal/envelope"
	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/kms"
	"coffer/internal/kv"
	"coffer/internal/kv/pebble"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

// collections is the literal table of everything that is stored.
func collections() []table.Checker {
	return []table.Checker{
		&iam.Accounts, &iam.AccessKeys, &iam.Users, &iam.Groups, &iam.Roles,
		&iam.ManagedPolicies, &iam.PolicyDocuments, &iam.PolicyUses, &iam.Inlines, &iam.Epochs,
		&iam.OIDCProviders, &iam.SAMLProviders, &iam.SAMLMetadatas, &iam.CredentialReports, &iam.ReportParts,
		&iam.InstanceProfiles, &iam.MFADevices, &iam.RoleDeletions, &iam.Counts, &iam.LastUses, &iam.Aliases, &iam.PasswordPolicies,
		&iam.Organizations, &iam.Units, &iam.Members, &iam.ControlPolicies, &iam.Targets,
		&secretsmanager.Secrets, &secretsmanager.DeprecatedVersions, &secretsmanager.Values, &secretsmanager.Policies, &secretsmanager.Purges,
		&secretsmanager.Runs, &secretsmanager.Histories,
		&kms.Keys, &kms.Aliases, &kms.Policies, &kms.Grants,
		&gateway.Pending, &Anchors,
	}
}

// Problem is one thing that fsck found.
type Problem struct {
	Where string `json:"where"` // a file and place, or a row
	What  string `json:"what"`
}

// CheckReport is what fsck read and found.
type CheckReport struct {
	Rows         int       `json:"rows"`
	AuditRecords uint64    `json:"auditRecords"`
	Problems     []Problem `json:"problems"`
}

// CheckStore verifies every block, row, index and reference of an open store.
func CheckStore(ctx context.Context, db *table.DB, svcs services, report func(where, what string)) (rows int, err error) {
	err = db.View(ctx, func(tx *table.Tx) error {
		if rows, err = table.Check(tx, collections(), [][]byte{keyringRow}, report); err != nil {
			return err
		}
		of := func(service string) func(string, ...any) {
			return func(format string, args ...any) { report(service, fmt.Sprintf(format, args...)) }
		}
		if err := iam.CheckOrganizations(ctx, tx, of("iam")); err != nil {
			return err
		}
		if err := svcs.sm.Check(ctx, tx, of("secretsmanager")); err != nil {
			return err
		}
		if err := svcs.kms.Check(ctx, tx, of("kms")); err != nil {
			return err
		}
		return svcs.iam.Check(ctx, tx, of("iam"))
	})
	return rows, err
}

// Fsck verifies a data directory that no server has open: the store's files
// block by block, every row and reference, and the audit log.
func Fsck(ctx context.Context, key RootKeyConfig, logger *slog.Logger, progress func(string)) (CheckReport, error) {
	report := CheckReport{Problems: []Problem{}}
	found := func(where, what string) { report.Problems = append(report.Problems, Problem{where, what}) }
	progress("opening the store")
	if there, err := exists(key.Dir.Store()); err != nil || !there {
		return report, errors.Join(err, fmt.Errorf("%s holds no store", key.Dir))
	}
	store, err := openPebble(key.Dir, logger)
	if errors.Is(err, kv.ErrCorrupt) {
		found("store", err.Error())
		return report, nil // nothing behind it can be read
	}
	if err != nil {
		return report, err
	}
	// Before any row is read: damage is told with file and place.
	progress("reading every block of the store's files")
	if err := store.Verify(ctx, found); err != nil {
		store.Close()
		return report, fmt.Errorf("store files: %w", err)
	}
	off, err := openOffline(ctx, key, store)
	if err != nil && len(report.Problems) > 0 {
		found("store", err.Error())
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer off.Close()
	progress("checking every row and reference")
	if report.Rows, err = CheckStore(ctx, off.db, off.services, found); err != nil {
		found("store", err.Error())
	}
	progress("verifying the audit log")
	v, err := VerifyAudit(ctx, key.Dir, off.db, off.keyring)
	if err != nil {
		return report, fmt.Errorf("audit log: %w", err)
	}
	report.AuditRecords = v.Records
	for _, p := range v.Problems {
		found("audit log", p)
	}
	return report, nil
}

// Offline is a data directory opened without serving it. Nobody else has it
// open meanwhile.
type Offline struct {
	store    *pebble.Store
	db       *table.DB
	keyring  *envelope.Keyring
	services services
}

// OpenOffline opens an existing data directory.
func OpenOffline(ctx context.Context, key RootKeyConfig, logger *slog.Logger) (*Offline, error) {
	if there, err := exists(key.Dir.Store()); err != nil || !there {
		return nil, errors.Join(err, fmt.Errorf("%s holds no store", key.Dir))
	}
	store, err := openPebble(key.Dir, logger)
	if err != nil {
		return nil, err
	}
	return openOffline(ctx, key, store)
}

// openOffline opens the keys above a store, which it closes on an error.
func openOffline(ctx context.Context, key RootKeyConfig, store *pebble.Store) (off *Offline, err error) {
	defer func() {
		if err != nil {
			store.Close()
		}
	}()
	root, err := OpenRootKey(ctx, store, key)
	if err != nil {
		return nil, err
	}
	db, ring, err := OpenTables(ctx, store, root, -1)
	if err != nil {
		return nil, err
	}
	svcs, err := newServices(root, ring, nil, &Config{})
	if err != nil {
		return nil, err
	}
	return &Offline{store, db, ring, svcs}, nil
}

// Close releases the directory.
func (o *Offline) Close() error {
	o.keyring.Destroy()
	return o.store.Close()
}

// VerifyAudit verifies the directory's audit log.
func (o *Offline) VerifyAudit(ctx context.Context, d Dir) (VerifyReport, error) {
	return VerifyAudit(ctx, d, o.db, o.keyring)
}

// Check verifies every row and reference of the server's store. Call it between
// Run and Close, when nothing changes any more.
func (s *Server) Check(ctx context.Context, report func(where, what string)) error {
	_, err := CheckStore(ctx, s.db, s.services, report)
	return err
}
