package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"coffer/internal/api"
	"coffer/internal/arn"
	"coffer/internal/audit"
	"coffer/internal/backup"
	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// The control socket is how the command line reaches a running server: a Unix
// socket in the data directory that only its owner may connect to. It speaks
// JSON over HTTP.
//
//	GET  /accounts                    the accounts
//	POST /accounts        {"name"}    make one; answers its root access keys
//	POST /accounts/keys   {"account"} rotate root access keys; answers the new ones
//	GET  /organizations               the organisations as trees
//	GET  /organizations/policies      their control policies
//	POST /organizations/...           changes; see organizationChanges
//	POST /who-can         {"action", "resource", "account", "region"}   gateway.Answer
//	POST /explain         {"requestId"}   the decisions of a call
//	POST /rotation        {"secret", "account", "region"}   secretsmanager.RotationStatus
//	POST /rotations       {"account", "region", "after", "failing"} RotationsPage
//	POST /denials         {"last", "account", "principal"}   the last denials
//	GET  /audit/verify                verify the audit log; streams findings
//	GET  /backup?to=FILE              a sealed backup of everything; FILE is for the record of it

// ControlError is the body of a refused control request.
type ControlError struct {
	Error string `json:"error"`
}

// AccountInfo is an account as the control socket tells of it.
type AccountInfo struct {
	ID      string `json:"account"`
	Name    string `json:"name"`
	Created string `json:"created"`
}

// AccountKeys is an account with fresh root access keys.
type AccountKeys struct {
	AccountInfo
	AccessKeyID     string   `json:"accessKeyId"`
	SecretAccessKey string   `json:"secretAccessKey"`
	Deleted         []string `json:"deletedAccessKeyIds,omitempty"`
	Warning         string   `json:"warning,omitempty"`
}

// VerifyReport is what a verification of the audit log found.
type VerifyReport struct {
	Records  uint64   `json:"records"`
	Segments int      `json:"segments"`
	Problems []string `json:"problems"`
}

// listenControl opens the control socket and publishes where the server listens.
func (s *Server) listenControl() error {
	path, err := controlPath(s.cfg.Dir)
	if err != nil {
		return err
	}
	// A leftover of a killed server. No server can be alive: we hold the store's lock.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.controlListener, err = net.Listen("unix", path); err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	s.closers = append(s.closers, closeListener(s.controlListener))
	if dir := filepath.Dir(path); dir != filepath.Clean(string(s.cfg.Dir)) && strings.HasPrefix(filepath.Base(dir), "coffer-") {
		s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	run := Running{PID: os.Getpid(), URL: s.URL(), Admin: s.AdminAddr(), Control: path, Region: s.cfg.Region}
	for _, e := range s.endpoints {
		if run.Endpoints == nil {
			run.Endpoints = make(map[string]string)
		}
		run.Endpoints[e.ID] = s.url(e.listener)
	}
	if s.cert != nil && s.cfg.CertFile == "" {
		if run.CA, err = filepath.Abs(s.cfg.Dir.CA()); err != nil {
			return err
		}
	}
	return WriteJSON(s.cfg.Dir.Running(), run)
}

// controlPath is in the data directory unless that is too deep: the address of
// a Unix socket has about a hundred bytes.
func controlPath(d Dir) (string, error) {
	path, err := filepath.Abs(d.path("admin.sock"))
	if err != nil || len(path) < 100 {
		return path, err
	}
	tmp, err := os.MkdirTemp("", "coffer-") // 0700
	if err != nil {
		return "", err
	}
	return filepath.Join(tmp, "admin.sock"), nil
}

func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /accounts", control(func(ctx context.Context, _ struct{}) (list []AccountInfo, err error) {
		list = []AccountInfo{}
		err = s.db.View(ctx, func(tx *table.Tx) error {
			accounts, err := iam.ListAccounts(tx)
			list = list[:0]
			for _, a := range accounts {
				list = append(list, accountInfo(a))
			}
			return err
		})
		return list, err
	}))
	mux.HandleFunc("POST /accounts", control(func(ctx context.Context, in struct{ Name string }) (out AccountKeys, err error) {
		err = s.change(ctx, "CreateAccount", details{"name": in.Name}, func(tx *table.Tx, now time.Time) (string, details, error) {
			a, k, err := iam.CreateAccount(tx, in.Name, arn.Partition(s.cfg.Region), now)
			if err != nil {
				return "", nil, err
			}
			out = accountKeys(a, k, nil)
			return a.ID, details{"accessKeyId": k.ID}, nil
		})
		return out, err
	}))
	mux.HandleFunc("POST /accounts/keys", control(func(ctx context.Context, in struct{ Account string }) (out AccountKeys, err error) {
		err = s.change(ctx, "RotateRootAccessKeys", details{"account": in.Account}, func(tx *table.Tx, now time.Time) (string, details, error) {
			a, err := iam.FindAccount(tx, in.Account)
			if err != nil {
				return "", nil, err
			}
			k, gone, err := iam.RotateRootKeys(tx, a.ID, now)
			if err != nil {
				return "", nil, err
			}
			out = accountKeys(a, k, gone)
			return a.ID, details{"accessKeyId": k.ID, "deletedAccessKeyIds": strings.Join(gone, " ")}, nil
		})
		if err == nil && out.ID == s.account {
			// `coffer env` must go on working for the first account. The old keys are gone:
			// the new ones must be answered whatever happens.
			if err := WriteJSON(s.cfg.Dir.Credentials(), Credentials{out.ID, out.AccessKeyID, out.SecretAccessKey}); err != nil {
				out.Warning = "the file that `coffer env` reads could not be written: " + err.Error()
			}
		}
		return out, err
	}))
	s.organizationRoutes(mux)
	mux.HandleFunc("POST /who-can", control(s.whoCan))
	mux.HandleFunc("POST /explain", control(func(ctx context.Context, in struct{ RequestID string }) (Explanation, error) {
		return s.explain(ctx, in.RequestID)
	}))
	mux.HandleFunc("POST /rotation", control(s.rotationStatus))
	mux.HandleFunc("POST /rotations", control(s.rotations))
	mux.HandleFunc("POST /denials", control(s.denials))
	mux.HandleFunc("GET /audit/verify", control(func(ctx context.Context, _ struct{}) (VerifyReport, error) {
		return verifyReport(func(report func(audit.Finding)) (audit.Summary, error) { return s.log.Verify(ctx, report) })
	}))
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		err := s.change(r.Context(), "CreateBackup", details{"to": r.URL.Query().Get("to")}, func(*table.Tx, time.Time) (string, details, error) { return s.account, nil, nil })
		if err == nil {
			err = s.log.Sync()
		}
		if err != nil {
			answerControl(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		// A backup that fails half-way has no end mark, and restore refuses it;
		// the connection is cut so that the client knows at once.
		if err := backup.Write(r.Context(), w, s.backupSource()); err != nil {
			s.cfg.Logger.Error("backup failed", "error", err)
			panic(http.ErrAbortHandler)
		}
	})
	return mux
}

// controlService is the event source of what is done over the control socket.
var controlService = &api.Service{ID: "Coffer", Name: "coffer", EventSource: "coffer.control"}

// details are members of a record; none of them is secret.
type details map[string]string

// change makes a change for whoever opened the control socket, and commits a record of it:
// a service event, because no API has such a call. A change that is refused has one too.
// f may run again; it returns the account that the change is about and what came of it.
func (s *Server) change(ctx context.Context, name string, in details, f func(*table.Tx, time.Time) (account string, out details, err error)) error {
	record := func(ctx context.Context, f func(*api.Request, *api.ServiceEvent) error) error {
		_, err := s.gate.RunTask(ctx, &api.Task{Name: "control." + name, Service: controlService, Run: func(r *api.Request) (bool, error) {
			e := api.ServiceEvent{Name: name, Account: s.account, Region: s.cfg.Region, Data: details{}}
			if uid, ok := peerOf(ctx); ok {
				e.Data["uid"] = strconv.Itoa(uid)
			}
			for k, v := range in {
				if v != "" {
					e.Data[k] = v
				}
			}
			err := f(r, &e)
			r.Emit(e)
			return false, err
		}})
		return err
	}
	err := record(ctx, func(r *api.Request, e *api.ServiceEvent) error {
		account, out, err := f(r.Tx, r.Time)
		e.Account = account
		maps.Copy(e.Data, out)
		return err
	})
	if err == nil {
		return nil
	}
	return errors.Join(err, record(context.WithoutCancel(ctx), func(_ *api.Request, e *api.ServiceEvent) error {
		e.Code, e.Error = "Refused", err.Error()
		return nil
	}))
}

// peerKey is the key of the user at the other end of a control connection.
type peerKey struct{}

// withPeer is the ConnContext of the control socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if uid, ok := peer(c); ok {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

func peerOf(ctx context.Context) (uid int, ok bool) {
	uid, ok = ctx.Value(peerKey{}).(int)
	return uid, ok
}

func accountInfo(a *iam.Account) AccountInfo {
	return AccountInfo{ID: a.ID, Name: a.Name, Created: shownTime(a.Created)}
}

func shownTime(t table.Millis) string { return t.Time().Format("2006-01-02T15:04:05Z") }

func accountKeys(a *iam.Account, k *iam.AccessKey, gone []string) AccountKeys {
	return AccountKeys{AccountInfo: accountInfo(a), AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), Deleted: gone}
}

// control adapts a function to a control request: JSON in, JSON out.
func control[I, O any](f func(context.Context, I) (O, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in I
		if r.Method == http.MethodPost {
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
			d.DisallowUnknownFields()
			if err := d.Decode(&in); err != nil {
				answerControl(w, nil, fmt.Errorf("control request: %w", err))
				return
			}
		}
		out, err := f(r.Context(), in)
		answerControl(w, out, err)
	}
}

func answerControl(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = ControlError{err.Error()}
	}
	json.NewEncoder(w).Encode(out) // a client that went away is not our error
}

// VerifyAudit verifies the audit log of a data directory that no server has open.
func VerifyAudit(ctx context.Context, d Dir, db *table.DB, ring *envelope.Keyring) (VerifyReport, error) {
	return verifyReport(func(report func(audit.Finding)) (audit.Summary, error) {
		return audit.Verify(ctx, audit.Config{Dir: d.Audit(), Anchors: &anchors{db}, Key: auditKey(ring)}, report)
	})
}

func verifyReport(verify func(func(audit.Finding)) (audit.Summary, error)) (VerifyReport, error) {
	r := VerifyReport{Problems: []string{}}
	sum, err := verify(func(f audit.Finding) { r.Problems = append(r.Problems, f.Error()) })
	r.Records, r.Segments = sum.Records, sum.Segments
	return r, err
}
