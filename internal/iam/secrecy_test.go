package iam_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

// Neither secret access keys nor seeds nor codes are in the audit log, which records the
// calls that gave them.
func TestNothingSecretIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	key := w.keys(t, "ana")
	d := check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone")}).VirtualMFADevice
	first, second := codeOf(t, d.Base32StringSeed, -1), codeOf(t, d.Base32StringSeed, 0)
	check.Must(t, w.EnableMFADevice, &iam.EnableMFADeviceInput{UserName: new("ana"), SerialNumber: d.SerialNumber, AuthenticationCode1: first, AuthenticationCode2: second})
	w.Stop(t)
	var log []byte
	err := filepath.WalkDir(w.Dir.Audit(), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		log = append(log, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"CreateAccessKey", "CreateVirtualMFADevice", "EnableMFADevice", key.AccessKeyID, *d.SerialNumber} {
		if !bytes.Contains(log, []byte(event)) {
			t.Errorf("%s is not recorded", event)
		}
	}
	for what, secret := range map[string]string{
		"the secret access key": key.SecretAccessKey, "the seed": string(d.Base32StringSeed), "the seed in base 64": base64.StdEncoding.EncodeToString(d.Base32StringSeed),
		"the picture": base64.StdEncoding.EncodeToString(d.QRCodePNG[:60]), "a code": `"` + *first + `"`, "another code": `"` + *second + `"`,
	} {
		if bytes.Contains(log, []byte(secret)) {
			t.Errorf("%s is recorded", what)
		}
	}
}
