package iam_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

// codeOf is what an authenticator app shows for a seed, some steps from now.
func codeOf(t *testing.T, seed []byte, off int64) *string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(string(seed))
	if err != nil {
		t.Fatal(err)
	}
	return new(totp(key, time.Now().Unix()/30+off))
}

// totp is the code of a step, of our own making: RFC 6238.
func totp(key []byte, step int64) string {
	m := hmac.New(sha1.New, key)
	binary.Write(m, binary.BigEndian, step)
	h := m.Sum(nil)
	n := binary.BigEndian.Uint32(h[h[19]&15:]) << 1 >> 1
	return fmt.Sprintf("%06d", n%1e6)
}

func TestMFADevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana, bo := new("ana"), new("bo")
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: ana})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: bo})
	made := check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone"), Path: new("/ana/"), Tags: tags("a=1")}).VirtualMFADevice
	serial, seed := made.SerialNumber, made.Base32StringSeed
	check.Equal(t, "serial number", *serial, w.arn("mfa/ana/phone"))
	check.Equal(t, "seed", len(seed), 64)
	check.Equal(t, "tags", texts(made.Tags), "a=1")

	enable := func(user, serial *string, first, second int64) func() string {
		return check.Try(w.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: user, SerialNumber: serial, AuthenticationCode1: codeOf(t, seed, first), AuthenticationCode2: codeOf(t, seed, second)})
	}
	const badCode = "InvalidAuthenticationCode: Authentication code for device is not valid."
	missing := new(w.arn("mfa/phone"))
	del := check.Try(w.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial})
	devices := func(in *iam.ListMFADevicesInput) func() string {
		return func() string {
			text := ""
			for _, d := range check.Must(t, w.ListMFADevices, in).MFADevices {
				text += *d.UserName + " " + *d.SerialNumber + ";"
			}
			return text
		}
	}
	state := func(s types.AssignmentStatusType) func() string {
		return func() string {
			text := ""
			for _, d := range check.Must(t, w.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{AssignmentStatus: s}).VirtualMFADevices {
				text += strings.TrimPrefix(*d.SerialNumber, w.arn("mfa"))
				if d.User != nil {
					text += " of " + *d.User.UserName
				}
				if len(d.Base32StringSeed) > 0 || len(d.QRCodePNG) > 0 {
					t.Error("a seed is listed")
				}
				text += ";"
			}
			return text
		}
	}
	check.Run(t, []check.Rule{
		{"the same again", check.Try(w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone"), Path: new("/ana/")}), "EntityAlreadyExists: MFADevice entity at the same path and name already exists."},
		{"the same name elsewhere", check.Try(w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("tablet")}), "ok"},
		{"too long for a serial number", check.Try(w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new(strings.Repeat("x", 230))}), "InvalidInput: The serial number, which is the ARN of the device, can have 256 characters at most."},
		{"too long for a picture", check.Try(w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new(strings.Repeat("x", 10_000))}), "InvalidInput: The serial number, which is the ARN of the device, can have 256 characters at most."},
		{"the codes in the wrong order", enable(ana, serial, 0, -1), badCode},
		{"one code twice", enable(ana, serial, 0, 0), badCode},
		{"codes of an hour ago", enable(ana, serial, -120, -119), badCode},
		{"five digits", check.Try(w.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: ana, SerialNumber: serial, AuthenticationCode1: new("12345"), AuthenticationCode2: new("123456")}), "ValidationError: 1 validation error detected: Value at 'authenticationCode1' failed to satisfy constraint: Member must have length greater than or equal to 6"},
		{"no such device", enable(ana, missing, -1, 0), "NoSuchEntity: VirtualMFADevice with serial number " + *missing + " does not exist."},
		{"hardware", enable(ana, new("GAHT12345678"), -1, 0), "NoSuchEntity: VirtualMFADevice with serial number GAHT12345678 does not exist."},
		{"nobody", enable(new("nobody"), serial, -1, 0), "NoSuchEntity: The user with name nobody cannot be found."},
		{"not enabled yet", check.Try(w.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{UserName: ana, SerialNumber: serial}), "NoSuchEntity: MFA Device invalid for user."},
		{"all are free", state(types.AssignmentStatusTypeUnassigned), "/ana/phone;/tablet;"},
		{"enable", enable(ana, serial, -1, 0), "ok"},
		{"in use", enable(bo, serial, -1, 0), "EntityAlreadyExists: MFA Device is already in use."},
		{"ana's", devices(&iam.ListMFADevicesInput{UserName: ana}), "ana " + *serial + ";"},
		{"bo's", devices(&iam.ListMFADevicesInput{UserName: bo}), ""},
		{"the root's", devices(&iam.ListMFADevicesInput{}), ""},
		{"assigned", state(types.AssignmentStatusTypeAssigned), "/ana/phone of ana;"},
		{"unassigned", state(types.AssignmentStatusTypeUnassigned), "/tablet;"},
		{"any", state(types.AssignmentStatusTypeAny), "/ana/phone of ana;/tablet;"},
		{"all", state(""), "/ana/phone of ana;/tablet;"},
		{"of nobody", check.Try(w.ListMFADevices, &iam.ListMFADevicesInput{UserName: new("nobody")}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"delete in use", del, "DeleteConflict: MFA VirtualDevice in use. Must deactivate first."},
		{"delete the user", check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: ana}), "DeleteConflict: Cannot delete entity, must delete MFA device first."},
		{"get", check.Try(w.GetMFADevice, &iam.GetMFADeviceInput{UserName: ana, SerialNumber: serial}), "ok"},
		{"get somebody else's", check.Try(w.GetMFADevice, &iam.GetMFADeviceInput{UserName: bo, SerialNumber: serial}), "NoSuchEntity: MFA Device invalid for user."},
		{"resynchronise with codes that were used", check.Try(w.ResyncMFADevice, &iam.ResyncMFADeviceInput{UserName: ana, SerialNumber: serial, AuthenticationCode1: codeOf(t, seed, -1), AuthenticationCode2: codeOf(t, seed, 0)}), badCode},
		{"resynchronise", check.Try(w.ResyncMFADevice, &iam.ResyncMFADeviceInput{UserName: ana, SerialNumber: serial, AuthenticationCode1: codeOf(t, seed, 99), AuthenticationCode2: codeOf(t, seed, 100)}), "ok"},
		{"somebody else's", check.Try(w.ResyncMFADevice, &iam.ResyncMFADeviceInput{UserName: bo, SerialNumber: serial, AuthenticationCode1: codeOf(t, seed, 101), AuthenticationCode2: codeOf(t, seed, 102)}), "NoSuchEntity: MFA Device invalid for user."},
		{"rename the user", check.Try(w.UpdateUser, &iam.UpdateUserInput{UserName: ana, NewUserName: new("berta")}), "ok"},
		{"it is still that user's", state(types.AssignmentStatusTypeAssigned), "/ana/phone of berta;"},
		{"deactivate", check.Try(w.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{UserName: new("berta"), SerialNumber: serial}), "ok"},
		{"deactivate again", check.Try(w.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{UserName: new("berta"), SerialNumber: serial}), "NoSuchEntity: MFA Device invalid for user."},
		{"codes do not come back to life", enable(bo, serial, -1, 0), badCode},
		{"delete", del, "ok"},
		{"delete again", del, "NoSuchEntity: VirtualMFADevice with serial number " + *serial + " does not exist."},
		{"the user goes, too", check.Try(w.DeleteUser, &iam.DeleteUserInput{UserName: new("berta")}), "ok"},
	})
}

func TestEightDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	for i := range 9 {
		d := check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new(fmt.Sprintf("d%d", i))}).VirtualMFADevice
		got := check.Try(w.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: new("ana"), SerialNumber: d.SerialNumber, AuthenticationCode1: codeOf(t, d.Base32StringSeed, -1), AuthenticationCode2: codeOf(t, d.Base32StringSeed, 0)})()
		want := "ok"
		if i == 8 {
			want = "LimitExceeded: Cannot exceed quota for MFADevicesPerUser: 8"
		}
		check.Equal(t, fmt.Sprint("device ", i), got, want)
	}
	page := check.Must(t, w.ListMFADevices, &iam.ListMFADevicesInput{UserName: new("ana"), MaxItems: new(int32(5))})
	check.Equal(t, "a page", len(page.MFADevices), 5)
	page = check.Must(t, w.ListMFADevices, &iam.ListMFADevicesInput{UserName: new("ana"), Marker: page.Marker})
	check.Equal(t, "the rest", len(page.MFADevices), 3)
	virtual := check.Must(t, w.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{MaxItems: new(int32(8))})
	virtual = check.Must(t, w.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{Marker: virtual.Marker})
	check.Equal(t, "behind the assigned ones", *virtual.VirtualMFADevices[0].SerialNumber, w.arn("mfa/d8"))
}

// Users manage their own devices ("Allows MFA-authenticated IAM users to manage
// their own MFA device").
func TestOwnMFADevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana", allow("iam:ListVirtualMFADevices", w.arn("mfa/*")), allow("iam:*VirtualMFADevice", w.arn("mfa/*")),
		`{"Effect":"Allow","Action":["iam:EnableMFADevice","iam:DeactivateMFADevice","iam:ListMFADevices","iam:ResyncMFADevice","iam:GetMFADevice"],"Resource":"`+w.arn("user/${aws:username}")+`"}`)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("bo")})
	d := check.Must(t, ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone")}).VirtualMFADevice
	code := func(off int64) *string { return codeOf(t, d.Base32StringSeed, off) }
	check.Run(t, []check.Rule{
		{"for somebody else", check.Try(ana.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: new("bo"), SerialNumber: d.SerialNumber, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)}),
			"AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:EnableMFADevice on resource: user bo because no identity-based policy allows the iam:EnableMFADevice action"},
		{"for oneself", check.Try(ana.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: new("ana"), SerialNumber: d.SerialNumber, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)}), "ok"},
		{"list", check.Try(ana.ListVirtualMFADevices, &iam.ListVirtualMFADevicesInput{}), "ok"},
		{"get without a name", check.Try(ana.GetMFADevice, &iam.GetMFADeviceInput{SerialNumber: d.SerialNumber}), "ok"},
		{"deactivate without a name", check.Try(ana.DeactivateMFADevice, &iam.DeactivateMFADeviceInput{SerialNumber: d.SerialNumber}), "ok"},
		{"delete", check.Try(ana.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: d.SerialNumber}), "ok"},
		{"one of another account", check.Try(w.DeleteVirtualMFADevice, &iam.DeleteVirtualMFADeviceInput{SerialNumber: new("arn:aws:iam::111122223333:mfa/phone")}),
			"AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:DeleteVirtualMFADevice on resource: arn:aws:iam::111122223333:mfa/phone because no resource-based policy allows the iam:DeleteVirtualMFADevice action"},
	})
}

// The picture is a QR code: light around, and the marks that readers find it by in three
// corners.
func TestQRCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone")}).VirtualMFADevice
	img, err := png.Decode(bytes.NewReader(d.QRCodePNG))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	check.Equal(t, "square", b.Dx(), b.Dy())
	const module, quiet = 5, 4
	n := b.Dx()/module - 2*quiet
	dark := func(x, y int) bool {
		return color.GrayModel.Convert(img.At((x+quiet)*module+module/2, (y+quiet)*module+module/2)).(color.Gray).Y < 128
	}
	for _, corner := range [][2]int{{0, 0}, {n - 7, 0}, {0, n - 7}} {
		row := ""
		for x := range 7 {
			if dark(corner[0]+x, corner[1]+3) {
				row += "#"
			} else {
				row += "."
			}
		}
		check.Equal(t, fmt.Sprint("the mark at ", corner), row, "#.###.#")
	}
	for i := -quiet; i < n+quiet; i++ {
		if dark(i, -1) || dark(-1, i) || dark(i, n) || dark(n, i) {
			t.Fatal("no light around")
		}
	}
}
