package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// MFADevice is a virtual MFA device: the seed of an authenticator app.
type MFADevice struct {
	Account string       `cbor:"1,keyasint"`
	Path    string       `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"` // unique together with the path, and has case
	Created table.Millis `cbor:"4,keyasint"`
	Seed    Seed         `cbor:"5,keyasint"`
	Tags    []policy.Tag `cbor:"6,keyasint,omitempty"`

	// User is the unique id of the user that it is enabled for, empty for none.
	User    string       `cbor:"7,keyasint,omitempty"`
	Enabled table.Millis `cbor:"8,keyasint,omitempty"`

	// Step is the last step whose code was taken: a code counts once (RFC 6238
	// section 5.2). Drift is by how many steps the device's clock is ahead.
	Step  int64 `cbor:"9,keyasint,omitempty"`
	Drift int64 `cbor:"10,keyasint,omitempty"`
}

// MFADevices holds the devices by account and name, path included.
var MFADevices = table.Collection[MFADevice]{
	Name:  "iam.mfa",
	Key:   func(d *MFADevice) table.Key { return table.K(d.Account, d.Path+d.Name) },
	Clone: (*MFADevice).clone,
	Indexes: []table.Index[MFADevice]{
		{Name: deviceByState, Keys: func(d *MFADevice) []table.Key {
			state := unassigned
			if d.User != "" {
				state = assigned
			}
			return []table.Key{table.K(d.Account, state, d.Path+d.Name)}
		}},
	},
}

const (
	deviceByState = "iam.mfa.state"

	assigned, unassigned = "Assigned", "Unassigned" // the words of ListVirtualMFADevices

	// maxDevices is how many devices a user can have ("IAM and AWS STS quotas").
	maxDevices = 8

	// maxSerial is how many characters a serial number has at most, as its model says.
	maxSerial = 256

	// Codes are good in their step, the one before and the one after. When a device is
	// enabled and when it is synchronised anew, two in a row may be further
	// off: people type slowly, and clocks go wrong.
	codeWindow   = 1
	enableWindow = 10  // steps: five minutes
	resyncWindow = 120 // an hour
)

func (d *MFADevice) clone() *MFADevice {
	c := *d
	c.Tags = slices.Clone(d.Tags)
	return &c
}

// Format implements fmt.Formatter, for fmt shows some structures with the placeholders
// of their secrets switched off; see api.Sensitive.
func (d *MFADevice) Format(f fmt.State, _ rune) { fmt.Fprint(f, "MFA device "+d.Path+d.Name) }

// ARN is the device's ARN in a partition, and its serial number.
func (d *MFADevice) ARN(partition string) string {
	return arnOf(partition, d.Account, "mfa", d.Path, d.Name)
}

func (s *Service) mfaOperations() []api.Bound {
	return []api.Bound{
		api.Preparing(api.Bind(iamapi.CreateVirtualMFADevice, resolveCreateVirtualMFADevice, createVirtualMFADevice), prepareVirtualMFADevice),
		api.Bind(iamapi.EnableMFADevice, resolveEnableMFADevice, enableMFADevice),
		api.Bind(iamapi.ResyncMFADevice, resolveResyncMFADevice, resyncMFADevice),
		api.Bind(iamapi.DeactivateMFADevice, resolveDeactivateMFADevice, deactivateMFADevice),
		api.Bind(iamapi.DeleteVirtualMFADevice, resolveDeleteVirtualMFADevice, deleteVirtualMFADevice),
		api.Bind(iamapi.GetMFADevice, resolveGetMFADevice, getMFADevice),
		api.Bind(iamapi.ListMFADevices, resolveListMFADevices, listMFADevices),
		api.Bind(iamapi.ListVirtualMFADevices, resolveListVirtualMFADevices, listVirtualMFADevices),
	}
}

// deviceTarget is the device that an operation names by serial number, or none.
type deviceTarget struct {
	r      *api.Request
	serial string
	device *MFADevice // shared; nil: there is none
}

// onDevice resolves operations on the device itself, and not on the user who has it.
func onDevice(r *api.Request, serial *string) (*deviceTarget, api.Access, error) {
	t := &deviceTarget{r: r, serial: *serial}
	var tags []policy.Tag
	d, err := findDevice(r.Tx, r.Partition(), r.Account, t.serial)
	switch {
	case err == nil:
		t.device, tags = d, d.Tags
	case !errors.Is(err, table.ErrNotFound):
		return nil, api.Access{}, err
	}
	if a, err := arn.Parse(t.serial); err == nil {
		return t, named(r, t.serial, a, tags), nil
	}
	e := entity{r: r, kind: "mfa", path: "/", name: t.serial} // a piece of hardware
	return t, e.access(), nil
}

// found returns the device to a caller whose action was authorized.
func (t *deviceTarget) found() (*MFADevice, error) {
	if t.device == nil {
		return nil, noSuchDevice(t.serial)
	}
	return t.device, nil
}

func noSuchDevice(serial string) error {
	return iamapi.NoSuchEntityException("VirtualMFADevice with serial number " + serial + " does not exist.")
}

// findDevice finds a device of the account. A serial number is written in one way only: what
// policies say of it must not depend on how it is asked for.
func findDevice(tx *table.Tx, partition, account, serial string) (*MFADevice, error) {
	name, ok := strings.CutPrefix(serial, arnOf(partition, account, "mfa", "", ""))
	if !ok {
		return nil, table.ErrNotFound
	}
	return MFADevices.Get(tx, table.K(account, name))
}

// madeSeed is a seed and its QR code, which takes milliseconds to draw: too long for a
// transaction that may run again.
type madeSeed struct {
	Seed    Seed
	Picture api.Sensitive
}

func prepareVirtualMFADevice(r *api.Request, in *iamapi.CreateVirtualMFADeviceInput) error {
	made, err := makeSeed(r, in)
	r.Prepared = made
	return err
}

func makeSeed(r *api.Request, in *iamapi.CreateVirtualMFADeviceInput) (*madeSeed, error) {
	serial := arnOf(r.Partition(), r.Account, "mfa", pathOf(in.Path), *in.VirtualMFADeviceName)
	if len(serial) > maxSerial {
		return nil, iamapi.InvalidInputException("The serial number, which is the ARN of the device, can have 256 characters at most.")
	}
	seed := newSeed()
	picture, err := seed.qrCode(*in.VirtualMFADeviceName, r.Account)
	return &madeSeed{seed, picture}, err
}

func resolveCreateVirtualMFADevice(r *api.Request, in *iamapi.CreateVirtualMFADeviceInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "mfa", path: pathOf(in.Path), name: *in.VirtualMFADeviceName}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, alsoTagging(a, "iam:TagMFADevice"), nil
}

func createVirtualMFADevice(r *api.Request, in *iamapi.CreateVirtualMFADeviceInput, e *entity) (_ *iamapi.CreateVirtualMFADeviceOutput, err error) {
	made, ok := r.Prepared.(*madeSeed)
	if !ok { // a call between services skips that step
		if made, err = makeSeed(r, in); err != nil {
			return nil, err
		}
	}
	d := &MFADevice{Account: r.Account, Path: e.path, Name: e.name, Created: table.At(r.Time), Seed: made.Seed}
	if d.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	switch _, err := MFADevices.Get(r.Tx, table.K(d.Account, d.Path+d.Name)); {
	case err == nil:
		return nil, iamapi.EntityAlreadyExistsException("MFADevice entity at the same path and name already exists.")
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	if err := deviceCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := MFADevices.Insert(r.Tx, d); err != nil {
		return nil, err
	}
	return &iamapi.CreateVirtualMFADeviceOutput{VirtualMFADevice: &iamapi.VirtualMFADevice{
		SerialNumber: new(d.ARN(r.Partition())), Base32StringSeed: d.Seed.base32(), QRCodePNG: made.Picture, Tags: shownTags(d.Tags),
	}}, nil
}

func resolveEnableMFADevice(r *api.Request, in *iamapi.EnableMFADeviceInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func enableMFADevice(r *api.Request, in *iamapi.EnableMFADeviceInput, t *userTarget) (*iamapi.EnableMFADeviceOutput, error) {
	u, err := t.edit()
	if err != nil {
		return nil, err
	}
	d, err := editDevice(r, *in.SerialNumber)
	if err != nil {
		return nil, err
	}
	if d.User != "" {
		return nil, iamapi.EntityAlreadyExistsException("MFA Device is already in use.")
	}
	if len(u.MFA) >= maxDevices {
		return nil, quotaExceeded("MFADevicesPerUser", maxDevices)
	}
	if err := d.synchronise(r.Time, enableWindow, in.AuthenticationCode1, in.AuthenticationCode2); err != nil {
		return nil, err
	}
	d.User, d.Enabled = u.ID, table.At(r.Time)
	u.MFA = append(u.MFA, d.Path+d.Name)
	if err := inUseCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	return &iamapi.EnableMFADeviceOutput{}, putDevice(r, d, u)
}

// editDevice finds a device by serial number, for a caller who may know, and
// returns a copy to be changed and put.
func editDevice(r *api.Request, serial string) (*MFADevice, error) {
	d, err := findDevice(r.Tx, r.Partition(), r.Account, serial)
	if errors.Is(err, table.ErrNotFound) {
		return nil, noSuchDevice(serial)
	}
	if err != nil {
		return nil, err
	}
	return MFADevices.Edit(r.Tx, MFADevices.Key(d))
}

// putDevice stores a device together with the user who has it, or had.
func putDevice(r *api.Request, d *MFADevice, u *User) error {
	if err := MFADevices.Put(r.Tx, d); err != nil {
		return err
	}
	return Users.Put(r.Tx, u)
}

// synchronise takes two codes in a row, and from them by how much the device's clock is
// off.
func (d *MFADevice) synchronise(now time.Time, window int64, first, second []byte) error {
	at, ok := d.Seed.find(step(now)-window, step(now)+window-1, first, second)
	if !ok || at <= d.Step {
		return iamapi.InvalidAuthenticationCodeException("Authentication code for device is not valid.")
	}
	d.Step, d.Drift = at+1, at+1-step(now)
	return nil
}

// take takes a code, once. It reports whether it is good.
func (d *MFADevice) take(now time.Time, code []byte) bool {
	// By our clock, and by the device's: who typed slowly when it was enabled has
	// one that only seemed to be wrong.
	for _, drift := range [...]int64{0, d.Drift} {
		middle := step(now) + drift
		at, ok := d.Seed.find(middle-codeWindow, middle+codeWindow, code)
		if ok && at > d.Step {
			d.Step = at
			return true
		}
	}
	return false
}

// device returns a copy of one of the user's devices, and of the user.
func (t *userTarget) device(serial string) (*MFADevice, *User, error) {
	invalid := iamapi.NoSuchEntityException("MFA Device invalid for user.")
	if t.root { // roots have none
		return nil, nil, invalid
	}
	u, err := t.edit()
	if err != nil {
		return nil, nil, err
	}
	d, err := findDevice(t.r.Tx, t.r.Partition(), t.r.Account, serial)
	if errors.Is(err, table.ErrNotFound) || err == nil && d.User != u.ID {
		return nil, nil, invalid
	}
	if err != nil {
		return nil, nil, err
	}
	d, err = MFADevices.Edit(t.r.Tx, MFADevices.Key(d))
	return d, u, err
}

func resolveResyncMFADevice(r *api.Request, in *iamapi.ResyncMFADeviceInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func resyncMFADevice(r *api.Request, in *iamapi.ResyncMFADeviceInput, t *userTarget) (*iamapi.ResyncMFADeviceOutput, error) {
	d, _, err := t.device(*in.SerialNumber)
	if err != nil {
		return nil, err
	}
	if err := d.synchronise(r.Time, resyncWindow, in.AuthenticationCode1, in.AuthenticationCode2); err != nil {
		return nil, err
	}
	return &iamapi.ResyncMFADeviceOutput{}, MFADevices.Put(r.Tx, d)
}

func resolveDeactivateMFADevice(r *api.Request, in *iamapi.DeactivateMFADeviceInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

// deactivateMFADevice leaves the device, which can be enabled again: its codes so far
// remain used up.
func deactivateMFADevice(r *api.Request, in *iamapi.DeactivateMFADeviceInput, t *userTarget) (*iamapi.DeactivateMFADeviceOutput, error) {
	d, u, err := t.device(*in.SerialNumber)
	if err != nil {
		return nil, err
	}
	d.User, d.Enabled = "", 0
	u.MFA = slices.DeleteFunc(u.MFA, func(name string) bool { return name == d.Path+d.Name })
	if err := inUseCounter.remove(r.Tx, r.Account); err != nil {
		return nil, err
	}
	return &iamapi.DeactivateMFADeviceOutput{}, putDevice(r, d, u)
}

func resolveDeleteVirtualMFADevice(r *api.Request, in *iamapi.DeleteVirtualMFADeviceInput) (*deviceTarget, api.Access, error) {
	return onDevice(r, in.SerialNumber)
}

func deleteVirtualMFADevice(r *api.Request, _ *iamapi.DeleteVirtualMFADeviceInput, t *deviceTarget) (*iamapi.DeleteVirtualMFADeviceOutput, error) {
	d, err := t.found()
	if err != nil {
		return nil, err
	}
	if d.User != "" {
		return nil, iamapi.DeleteConflictException("MFA VirtualDevice in use. Must deactivate first.")
	}
	if err := MFADevices.Delete(r.Tx, MFADevices.Key(d)); err != nil {
		return nil, err
	}
	return &iamapi.DeleteVirtualMFADeviceOutput{}, deviceCounter.remove(r.Tx, r.Account)
}

func resolveGetMFADevice(r *api.Request, in *iamapi.GetMFADeviceInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func getMFADevice(r *api.Request, in *iamapi.GetMFADeviceInput, t *userTarget) (*iamapi.GetMFADeviceOutput, error) {
	d, u, err := t.device(*in.SerialNumber)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetMFADeviceOutput{UserName: &u.Name, SerialNumber: new(d.ARN(r.Partition())), EnableDate: d.Enabled.Ptr()}, nil
}

func resolveListMFADevices(r *api.Request, in *iamapi.ListMFADevicesInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func listMFADevices(r *api.Request, in *iamapi.ListMFADevicesInput, t *userTarget) (*iamapi.ListMFADevicesOutput, error) {
	out := &iamapi.ListMFADevicesOutput{MFADevices: []iamapi.MFADevice{}, IsTruncated: new(false)}
	if t.root {
		return out, nil
	}
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	names, next, err := part(slices.Sorted(slices.Values(u.MFA)), func(name *string) table.Key { return table.K(*name) }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		d, err := MFADevices.Get(r.Tx, table.K(u.Account, name))
		if err != nil {
			return nil, err
		}
		out.MFADevices = append(out.MFADevices, iamapi.MFADevice{UserName: &u.Name, SerialNumber: new(d.ARN(r.Partition())), EnableDate: d.Enabled.Ptr()})
	}
	out.Marker, out.IsTruncated = next, new(next != nil)
	return out, nil
}

func resolveListVirtualMFADevices(r *api.Request, _ *iamapi.ListVirtualMFADevicesInput) (struct{}, api.Access, error) {
	return struct{}{}, listing(r, "mfa", nil), nil
}

func listVirtualMFADevices(r *api.Request, in *iamapi.ListVirtualMFADevicesInput, _ struct{}) (*iamapi.ListVirtualMFADevicesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListVirtualMFADevicesOutput{VirtualMFADevices: []iamapi.VirtualMFADevice{}}
	show := func(d *MFADevice) (bool, int, error) {
		shown := iamapi.VirtualMFADevice{SerialNumber: new(d.ARN(r.Partition()))}
		if d.User != "" {
			u, err := Users.Get(r.Tx, table.K(d.User))
			if err != nil {
				return false, 0, err
			}
			shown.User, shown.EnableDate = u.shown(r), d.Enabled.Ptr()
		}
		out.VirtualMFADevices = append(out.VirtualMFADevices, shown)
		return true, 0, nil
	}
	var parts []section
	for _, state := range []string{assigned, unassigned} {
		if want := api.Value(in.AssignmentStatus); want == "" || want == "Any" || want == state {
			parts = append(parts, sectionOf(r, state, &MFADevices, deviceByState, table.Range{Prefix: table.K(r.Account, state)}, show))
		}
	}
	out.Marker, err = walk(p, parts...)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// VerifyMFA takes a code of one of the caller's devices, for the operations of STS
// that prove a second factor. It writes that the code was used, in tx, which must
// be able to: when the transaction does not commit, the code is good still.
//
// A wrong code is AWS's AccessDenied. After some of them in a row the
// device takes none for a while, whatever is sent: six digits are soon
// guessed by somebody who has the user's access key and may try as fast as we answer.
func (d *Directory) VerifyMFA(tx *table.Tx, p *api.Principal, serial string, code api.Sensitive, now time.Time) error {
	partition, _, _ := strings.Cut(strings.TrimPrefix(p.ARN, "arn:"), ":")
	device, err := findDevice(tx, partition, p.Account, serial)
	if errors.Is(err, table.ErrNotFound) || err == nil && (p.Type != policy.IAMUser || device.User != p.ID) {
		return api.AccessDeniedException("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	}
	if err != nil {
		return err
	}
	if device, err = MFADevices.Edit(tx, MFADevices.Key(device)); err != nil {
		return err
	}
	who := guesser{device.Account, device.Path + device.Name}
	if d.guesses.resting(who, now) {
		return api.AccessDeniedException("MultiFactorAuthentication failed, too many invalid MFA one time pass codes were given. Please wait and try again.")
	}
	if !device.take(now, code) {
		d.guesses.wrong(who, now)
		return api.AccessDeniedException("MultiFactorAuthentication failed with invalid MFA one time pass code.")
	}
	d.guesses.right(who)
	return MFADevices.Put(tx, device)
}

// guesses counts wrong codes, in memory: what a refused request wrote would be
// undone with it. A restart forgets them, and nobody restarts us at will. Each account has room of
// its own: with many devices one could else have the guesses at another's forgotten.
type guesses struct {
	mu sync.Mutex
	of map[string]map[string]*guess // account, and device in it
}

// guesser is the device that codes are guessed of.
type guesser struct{ account, device string }

type guess struct {
	wrong int       // in a row
	until time.Time // no code is taken before
}

const (
	freeGuesses = 5           // wrong codes that cost nothing
	firstRest   = time.Minute // after the next one; doubled with each more
	longestRest = time.Hour   // so that less than thirty guesses a day are heard
	maxGuesses  = 10_000      // devices remembered of an account
)

// resting reports whether the device takes no codes at now.
func (g *guesses) resting(who guesser, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.of[who.account][who.device]
	return one != nil && now.Before(one.until)
}

func (g *guesses) wrong(who guesser, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of := g.of[who.account]
	if of == nil {
		of = make(map[string]*guess)
		g.of[who.account] = of
	}
	one := of[who.device]
	if one == nil {
		makeRoom(of, now)
		one = new(guess)
		of[who.device] = one
	}
	if one.wrong++; one.wrong > freeGuesses {
		rest := longestRest
		if more := one.wrong - freeGuesses - 1; more < 6 {
			rest = min(firstRest<<more, longestRest)
		}
		one.until = now.Add(rest)
	}
}

// makeRoom forgets devices of an account that rest no more, when there are too many; if all do, any.
func makeRoom(of map[string]*guess, now time.Time) {
	for device, one := range of {
		if len(of) < maxGuesses {
			return
		}
		if now.After(one.until) {
			delete(of, device)
		}
	}
	for device := range of {
		if len(of) < maxGuesses {
			return
		}
		delete(of, device)
	}
}

func (g *guesses) right(who guesser) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of := g.of[who.account]
	if delete(of, who.device); len(of) == 0 {
		delete(g.of, who.account)
	}
}
