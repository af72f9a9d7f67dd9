package iam

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"time"

	"coffer/internal/sigv4"
	"coffer/internal/table"
)

// Account is one AWS account: a name space of everything.
type Account struct {
	ID      string       `cbor:"1,keyasint"` // 12 digits
	Name    string       `cbor:"2,keyasint"`
	Created table.Millis `cbor:"3,keyasint"`

	// Partition is the one its ARNs are in, for good; empty: "aws". See InPartition.
	Partition string `cbor:"4,keyasint,omitempty"`
}

// InPartition reports whether the account is one of a partition. Partitions are worlds
// apart: were an account in two, a policy about arn:aws:iam::ID:user/boss would say nothing of
// arn:aws-cn:iam::ID:user/boss, who is the same user.
func (a *Account) InPartition(partition string) bool {
	return partition == cmp.Or(a.Partition, "aws")
}

// AccessKey is a long-term access key of a user, or of an account's root.
type AccessKey struct {
	ID       string       `cbor:"1,keyasint"` // AKIA and 16 characters
	Secret   Secret       `cbor:"2,keyasint"`
	Account  string       `cbor:"3,keyasint"`
	Created  table.Millis `cbor:"4,keyasint"`
	User     string       `cbor:"5,keyasint,omitempty"` // unique id; empty: the root
	Inactive bool         `cbor:"6,keyasint,omitempty"`
}

// Secret is a secret access key. It prints as a placeholder; Reveal gives the text.
type Secret struct {
	Text sigv4.Secret // a string, as signatures take it: one of bytes would be copied on every call
}

// Reveal returns the secret access key in clear.
func (s Secret) Reveal() string { return string(s.Text) }

// MarshalCBOR stores the bytes.
func (s Secret) MarshalCBOR() ([]byte, error) { return table.MarshalBytes([]byte(s.Text)) }

// UnmarshalCBOR is the inverse of MarshalCBOR.
func (s *Secret) UnmarshalCBOR(b []byte) error {
	p, err := table.UnmarshalBytes(b)
	s.Text = sigv4.Secret(p)
	clear(p)
	return err
}

// Accounts holds the accounts by id.
var Accounts = table.Collection[Account]{
	Name:    "iam.account",
	Key:     func(a *Account) table.Key { return table.K(a.ID) },
	Indexes: []table.Index[Account]{{Name: "iam.account.name", Keys: func(a *Account) []table.Key { return []table.Key{table.K(a.Name)} }}},
}

// AccessKeys holds the access keys by id, so that a request's key is found in
// constant time; those of roots by account, those of users by user.
var AccessKeys = table.Collection[AccessKey]{
	Name: "iam.key",
	Key:  func(k *AccessKey) table.Key { return table.K(k.ID) },
	Clone: func(k *AccessKey) *AccessKey {
		c := *k
		return &c
	},
	Indexes: []table.Index[AccessKey]{
		{Name: keyByAccount, Keys: func(k *AccessKey) []table.Key {
			if k.User != "" {
				return nil
			}
			return []table.Key{table.K(k.Account, k.ID)}
		}},
		{Name: keyByUser, Keys: func(k *AccessKey) []table.Key {
			if k.User == "" {
				return nil
			}
			return []table.Key{table.K(k.User, k.Created.Part(), k.ID)}
		}},
	},
}

const (
	keyByAccount = "iam.key.account"
	keyByUser    = "iam.key.user"
)

var (
	accountName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_+=,.@-]{0,63}$`)
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
)

// ErrAccount wraps what is wrong with a request about accounts, for people.
var ErrAccount = errors.New("account")

// IsAccountID reports whether s has the form of an account id: 12 digits.
func IsAccountID(s string) bool { return accountID.MatchString(s) }

// CreateAccount makes an account with a random id and a root access key. The
// name is 1 to 64 letters, digits and _+=,.@- and not taken.
func CreateAccount(tx *table.Tx, name, partition string, now time.Time) (*Account, *AccessKey, error) {
	if !accountName.MatchString(name) {
		return nil, nil, fmt.Errorf("%w name %q must be 1 to 64 letters, digits or _+=,.@- and start with a letter or digit", ErrAccount, name)
	}
	if IsAccountID(name) {
		return nil, nil, fmt.Errorf("%w name %q looks like an account id; choose a name with a letter", ErrAccount, name)
	}
	for _, err := range Accounts.ScanIndex(tx, "iam.account.name", table.Range{Prefix: table.K(name), Exact: true}) {
		if err != nil {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("%w %q exists already", ErrAccount, name)
	}
	for {
		a := &Account{ID: newAccountID(), Name: name, Partition: partition, Created: table.At(now)}
		if _, err := Accounts.Load(tx, table.K(a.ID)); err == nil {
			continue
		} else if !errors.Is(err, table.ErrNotFound) {
			return nil, nil, err
		}
		if err := Accounts.Put(tx, a); err != nil {
			return nil, nil, err
		}
		k, err := createKey(tx, a.ID, "", now)
		return a, k, err
	}
}

// RotateRootKeys makes a new root access key for the account and deletes every
// older one: from the next call on they are unknown.
func RotateRootKeys(tx *table.Tx, account string, now time.Time) (fresh *AccessKey, gone []string, err error) {
	for e, err := range AccessKeys.ScanIndex(tx, keyByAccount, table.Range{Prefix: table.K(account)}) {
		if err != nil {
			return nil, nil, err
		}
		gone = append(gone, e.Record.Parts()[0])
	}
	for _, id := range gone {
		if err := deleteKey(tx, id); err != nil {
			return nil, nil, err
		}
	}
	fresh, err = createKey(tx, account, "", now)
	return fresh, gone, err
}

// FindAccount returns the account whose id or name is ref.
func FindAccount(tx *table.Tx, ref string) (*Account, error) {
	if IsAccountID(ref) {
		a, err := Accounts.Get(tx, table.K(ref))
		if errors.Is(err, table.ErrNotFound) {
			return nil, fmt.Errorf("%w %s does not exist; `coffer account list` shows those that do", ErrAccount, ref)
		}
		return a, err
	}
	for e, err := range Accounts.ScanIndex(tx, "iam.account.name", table.Range{Prefix: table.K(ref), Exact: true}) {
		if err != nil {
			return nil, err
		}
		return Accounts.Get(tx, e.Record)
	}
	return nil, fmt.Errorf("%w %q does not exist; `coffer account list` shows those that do", ErrAccount, ref)
}

// ListAccounts returns all accounts, the oldest first.
func ListAccounts(tx *table.Tx) ([]*Account, error) {
	var as []*Account
	for e, err := range Accounts.Scan(tx, table.Range{}) {
		if err != nil {
			return nil, err
		}
		as = append(as, e.Value)
	}
	slices.SortFunc(as, func(a, b *Account) int { return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID)) })
	return as, nil
}

// createKey makes a key of the user with this unique id, "" for the root.
func createKey(tx *table.Tx, account, user string, now time.Time) (*AccessKey, error) {
	k := &AccessKey{ID: "AKIA" + randomID(16), Secret: Secret{sigv4.Secret(randomSecret())}, Account: account, Created: table.At(now), User: user}
	return k, AccessKeys.Put(tx, k)
}

func deleteKey(tx *table.Tx, id string) error {
	if err := LastUses.Delete(tx, table.K(id)); err != nil {
		return err
	}
	return AccessKeys.Delete(tx, table.K(id))
}

func newAccountID() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(900_000_000_000)) // crypto/rand.Reader never fails
	return n.Add(n, big.NewInt(100_000_000_000)).String()
}

// randomID returns n characters of AWS's unique-id alphabet, A-Z and 2-7.
func randomID(n int) string {
	b := make([]byte, n) // more bits than characters need; the tail is cut
	rand.Read(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// randomSecret returns 40 characters carrying 240 random bits.
func randomSecret() string {
	b := make([]byte, 30)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}
