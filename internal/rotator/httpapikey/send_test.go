package httpapikey

import (
	"net/netip"
	"testing"
)

// TestAddresses: whoever writes a secret chooses where requests go, but not to the machine itself
// and not to where its cloud hands out credentials.
func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		address        string
		usual, allowed error // allowed: with ALLOW_LOOPBACK
	}{
		{"203.0.113.7", nil, nil}, {"2001:db8::1", nil, nil}, {"64:ff9b::203.0.113.7", nil, nil},
		{"10.0.0.1", nil, nil}, {"192.168.1.1", nil, nil}, {"fd12::1", nil, nil}, {"64:ff9b::10.0.0.1", nil, nil},
		{"127.0.0.1", errLoopback, nil}, {"127.8.9.1", errLoopback, nil}, {"::1", errLoopback, nil}, {"::ffff:127.0.0.1", errLoopback, nil},
		{"0.0.0.0", errLoopback, errLoopback}, {"0.1.2.3", errLoopback, errLoopback}, {"::", errLoopback, errLoopback},
		{"169.254.169.254", errLinkLocal, errLinkLocal}, {"::ffff:169.254.169.254", errLinkLocal, errLinkLocal},
		{"fe80::1%eth0", errLinkLocal, errLinkLocal}, {"224.0.0.1", errLinkLocal, errLinkLocal}, {"ff02::1", errLinkLocal, errLinkLocal},
		{"fd00:ec2::254", errLinkLocal, errLinkLocal}, {"fd00:ec2::23", errLinkLocal, errLinkLocal}, {"fd00:ec2::254%eth0", errLinkLocal, errLinkLocal},
		{"100.100.100.200", errLinkLocal, errLinkLocal}, {"168.63.129.16", errLinkLocal, errLinkLocal}, {"192.0.0.192", errLinkLocal, errLinkLocal},
		{"64:ff9b::169.254.169.254", errLinkLocal, errLinkLocal}, {"64:ff9b::127.0.0.1", errLoopback, nil}, {"64:ff9b:1::169.254.169.254", errLinkLocal, errLinkLocal},
		{"2002:a9fe:a9fe::1", errLinkLocal, errLinkLocal}, {"2002:7f00:1::", errLoopback, nil}, {"2002:6464:64c8::", errLinkLocal, errLinkLocal},
		{"::169.254.169.254", errLinkLocal, errLinkLocal},
	} {
		a := netip.MustParseAddr(tt.address)
		if err := refused(a, false); err != tt.usual {
			t.Errorf("%s: %v, want %v", a, err, tt.usual)
		}
		if err := refused(a, true); err != tt.allowed {
			t.Errorf("%s with loopback allowed: %v, want %v", a, err, tt.allowed)
		}
	}
}
