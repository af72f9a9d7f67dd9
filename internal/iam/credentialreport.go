package iam

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

// CredentialReport is the state of an account's credential report. It is made a part
// at a time, in the background.
type CredentialReport struct {
	Account   string       `cbor:"1,keyasint"`
	Partition string       `cbor:"2,keyasint"`           // that ARNs in it are of
	Started   table.Millis `cbor:"3,keyasint,omitempty"` // when what is under way was asked for; zero: nothing is
	Generated table.Millis `cbor:"4,keyasint,omitempty"` // when the report was complete; zero: there is none
	Parts     int          `cbor:"5,keyasint"`           // that are written
	Left      int          `cbor:"6,keyasint,omitempty"` // parts of an earlier report behind those, to be deleted
	After     string       `cbor:"7,keyasint,omitempty"` // the user, by folded name, that the last part ended with
}

// CredentialReports holds them by account. Those under way are found by an index.
var CredentialReports = table.Collection[CredentialReport]{
	Name: "iam.report",
	Key:  func(c *CredentialReport) table.Key { return table.K(c.Account) },
	Indexes: []table.Index[CredentialReport]{{Name: reportUnderWay, Keys: func(c *CredentialReport) []table.Key {
		if c.Started == 0 {
			return nil
		}
		return []table.Key{table.K(c.Started.Part(), c.Account)}
	}}},
}

const reportUnderWay = "iam.report.underway"

// ReportPart is some lines of a credential report.
type ReportPart struct {
	Account string `cbor:"1,keyasint"`
	Number  int    `cbor:"2,keyasint"`
	Text    string `cbor:"3,keyasint"`
}

// ReportParts holds them by account and number.
var ReportParts = table.Collection[ReportPart]{
	Name:    "iam.reportpart",
	Key:     func(p *ReportPart) table.Key { return reportPartKey(p.Account, p.Number) },
	NoCache: true,
}

func reportPartKey(account string, number int) table.Key {
	return table.K(account, fmt.Sprintf("%08x", number))
}

const (
	// reportLife is how long a report is good: "You can generate a credential
	// report as often as once every four hours."
	reportLife = 4 * time.Hour
	// reportUsers are the users in one part: one transaction's worth, some ten milliseconds.
	reportUsers = 250
	// reportDeletes are the left parts that one transaction deletes.
	reportDeletes = 50
)

func (s *Service) credentialReportOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.GenerateCredentialReport, onNothing[iamapi.GenerateCredentialReportInput], generateCredentialReport),
		api.Bind(iamapi.GetCredentialReport, onNothing[iamapi.GetCredentialReportInput], getCredentialReport),
	}
}

// fresh reports whether the report is one that can be had.
func (c *CredentialReport) fresh(now time.Time) bool {
	return c.Generated != 0 && now.Sub(c.Generated.Time()) < reportLife
}

func generateCredentialReport(r *api.Request, _ *iamapi.GenerateCredentialReportInput, _ struct{}) (*iamapi.GenerateCredentialReportOutput, error) {
	c, err := CredentialReports.Load(r.Tx, table.K(r.Account))
	switch {
	case errors.Is(err, table.ErrNotFound):
		c = &CredentialReport{Account: r.Account}
	case err != nil:
		return nil, err
	case c.Started != 0:
		return &iamapi.GenerateCredentialReportOutput{State: new("INPROGRESS")}, nil
	case c.fresh(r.Time):
		return &iamapi.GenerateCredentialReportOutput{State: new("COMPLETE")}, nil
	}
	next := &CredentialReport{Account: r.Account, Partition: r.Partition(), Started: table.At(r.Time), Left: c.Parts + c.Left}
	if err := CredentialReports.Put(r.Tx, next); err != nil {
		return nil, err
	}
	return &iamapi.GenerateCredentialReportOutput{
		State: new("STARTED"), Description: new("No report exists. Starting a new report generation task"),
	}, nil
}

func getCredentialReport(r *api.Request, _ *iamapi.GetCredentialReportInput, _ struct{}) (*iamapi.GetCredentialReportOutput, error) {
	c, err := CredentialReports.Get(r.Tx, table.K(r.Account))
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil, iamapi.CredentialReportNotPresentException("No report exists. Call GenerateCredentialReport to generate one.")
	case err != nil:
		return nil, err
	case c.Started != 0:
		return nil, iamapi.CredentialReportNotReadyException("The credential report is still being generated.")
	case !c.fresh(r.Time):
		return nil, iamapi.CredentialReportExpiredException("The most recent credential report has expired. To generate a new credential report, use GenerateCredentialReport.")
	}
	content := []byte(strings.Join(reportColumns, ",") + "\n")
	for i := range c.Parts {
		p, err := ReportParts.Get(r.Tx, reportPartKey(r.Account, i))
		if err != nil {
			return nil, err
		}
		content = append(content, p.Text...)
	}
	content = bytes.TrimSuffix(content, []byte("\n")) // the last line has no end
	return &iamapi.GetCredentialReportOutput{Content: content, ReportFormat: new("text/csv"), GeneratedTime: c.Generated.Ptr()}, nil
}

// writeReport is the background task: it writes one part of a report that was asked for.
func (s *Service) writeReport(r *api.Request) (more bool, err error) {
	for e, err := range CredentialReports.ScanIndex(r.Tx, reportUnderWay, table.Range{}) {
		if err != nil {
			return false, err
		}
		c, err := CredentialReports.Load(r.Tx, e.Record)
		if err != nil {
			return false, err
		}
		return true, s.writePart(r, c)
	}
	return false, nil
}

// writePart writes the next part of a report; when all are written, it removes what
// an earlier report had more, and then the report is complete.
func (s *Service) writePart(r *api.Request, c *CredentialReport) error {
	var part, last string
	err := r.Read(func(tx *table.Tx) (err error) {
		part, last, err = s.reportPart(tx, c)
		return err
	})
	if err != nil {
		return err
	}
	if part != "" {
		if err := ReportParts.Put(r.Tx, &ReportPart{Account: c.Account, Number: c.Parts, Text: part}); err != nil {
			return err
		}
		c.Parts, c.Left, c.After = c.Parts+1, max(c.Left-1, 0), last
		return CredentialReports.Put(r.Tx, c)
	}
	for range reportDeletes {
		if c.Left == 0 {
			c.Started, c.Generated = 0, table.At(r.Time)
			break
		}
		c.Left--
		if err := ReportParts.Delete(r.Tx, reportPartKey(c.Account, c.Parts+c.Left)); err != nil {
			return err
		}
	}
	return CredentialReports.Put(r.Tx, c)
}

// reportColumns are the columns of a report ("Generate credential reports").
var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// reportPart is the lines of the next users, and the last of them; empty when
// there are no more. The first line is the root's.
func (s *Service) reportPart(tx *table.Tx, c *CredentialReport) (text, last string, err error) {
	var lines strings.Builder
	w := csv.NewWriter(&lines)
	if c.Parts == 0 {
		fields, err := s.reportRoot(tx, c)
		if err != nil {
			return "", "", err
		}
		w.Write(fields) // a strings.Builder takes everything
	}
	rows := table.Range{Prefix: table.K(c.Account)}
	if c.After != "" {
		rows.After = table.K(c.Account, c.After)
	}
	n := 0
	for e, err := range Users.ScanIndex(tx, userByName, rows) {
		if err != nil {
			return "", "", err
		}
		if n == reportUsers {
			break
		}
		u, err := Users.Get(tx, e.Record)
		if err != nil {
			return "", "", err
		}
		fields, err := s.reportUser(tx, c, u)
		if err != nil {
			return "", "", err
		}
		w.Write(fields) // a strings.Builder takes everything
		n, last = n+1, fold(u.Name)
	}
	w.Flush()
	return lines.String(), last, nil
}

const reportNone = "N/A"

func reportTime(m table.Millis) string {
	if m == 0 {
		return reportNone
	}
	return m.Time().Format("2006-01-02T15:04:05+00:00")
}

func (s *Service) reportRoot(tx *table.Tx, c *CredentialReport) ([]string, error) {
	created := reportNone
	switch a, err := Accounts.Get(tx, table.K(c.Account)); {
	case err == nil:
		created = reportTime(a.Created)
	case !errors.Is(err, table.ErrNotFound): // with --dev, accounts need not be made
		return nil, err
	}
	keys, err := s.reportKeys(tx, keyByAccount, c.Account)
	fields := []string{"<root_account>", "arn:" + c.Partition + ":iam::" + c.Account + ":root", created, "not_supported", "no_information", "not_supported", "not_supported", "false"}
	return append(fields, keys...), err
}

func (s *Service) reportUser(tx *table.Tx, c *CredentialReport, u *User) ([]string, error) {
	keys, err := s.reportKeys(tx, keyByUser, u.ID)
	fields := []string{u.Name, u.ARN(c.Partition), reportTime(u.Created), "false", reportNone, reportNone, reportNone, strconv.FormatBool(len(u.MFA) > 0)}
	return append(fields, keys...), err
}

// reportKeys are the columns of access keys, and of certificates, which nobody has.
func (s *Service) reportKeys(tx *table.Tx, index, owner string) ([]string, error) {
	var fields []string
	for e, err := range AccessKeys.ScanIndex(tx, index, table.Range{Prefix: table.K(owner)}) {
		if err != nil {
			return nil, err
		}
		k, err := AccessKeys.Get(tx, e.Record)
		if err != nil {
			return nil, err
		}
		use, err := s.directory.lastUse(tx, k.ID)
		if err != nil {
			return nil, err
		}
		fields = append(fields, strconv.FormatBool(!k.Inactive), reportTime(k.Created))
		if use == nil {
			fields = append(fields, reportNone, reportNone, reportNone)
		} else {
			fields = append(fields, reportTime(use.At), use.Region, use.Service)
		}
		if len(fields) == 10 {
			break
		}
	}
	for len(fields) < 10 {
		fields = append(fields, "false", reportNone, reportNone, reportNone, reportNone)
	}
	return append(fields, "false", reportNone, "false", reportNone), nil
}
