package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

// maxKeys is how many access keys a user or root has at most ("IAM and AWS STS
// quotas").
const maxKeys = 2

const (
	keyActive   = "Active"
	keyInactive = "Inactive"
)

func (s *Service) accessKeyOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateAccessKey, resolveCreateAccessKey, createAccessKey),
		api.Bind(iamapi.ListAccessKeys, resolveListAccessKeys, listAccessKeys),
		api.Bind(iamapi.UpdateAccessKey, resolveUpdateAccessKey, updateAccessKey),
		api.Bind(iamapi.DeleteAccessKey, resolveDeleteAccessKey, deleteAccessKey),
		api.Bind(iamapi.GetAccessKeyLastUsed, resolveGetAccessKeyLastUsed, s.getAccessKeyLastUsed),
	}
}

// owner is the unique id of whom the keys belong to, empty for the root, and the
// index rows that lead to them.
func (t *userTarget) owner() (id, index string, rows table.Range, err error) {
	if t.root {
		return "", keyByAccount, table.Range{Prefix: table.K(t.r.Account)}, nil
	}
	u, err := t.found()
	if err != nil {
		return "", "", table.Range{}, err
	}
	return u.ID, keyByUser, table.Range{Prefix: table.K(u.ID)}, nil
}

// key finds one of the target's keys.
func (t *userTarget) key(id string) (*AccessKey, error) {
	owner, _, _, err := t.owner()
	if err != nil {
		return nil, err
	}
	k, err := AccessKeys.Get(t.r.Tx, table.K(id))
	if errors.Is(err, table.ErrNotFound) || err == nil && (k.User != owner || k.Account != t.r.Account) {
		return nil, iamapi.NoSuchEntityException("The Access Key with id " + id + " cannot be found.")
	}
	return k, err
}

// userName is the user's name in answers about keys. The root has none.
func (t *userTarget) userName() *string {
	if t.root {
		return nil
	}
	return &t.name
}

func (k *AccessKey) status() *string {
	if k.Inactive {
		return new(keyInactive)
	}
	return new(keyActive)
}

func resolveCreateAccessKey(r *api.Request, in *iamapi.CreateAccessKeyInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func createAccessKey(r *api.Request, _ *iamapi.CreateAccessKeyInput, t *userTarget) (*iamapi.CreateAccessKeyOutput, error) {
	owner, index, rows, err := t.owner()
	if err != nil {
		return nil, err
	}
	n := 0
	for _, err := range AccessKeys.ScanIndex(r.Tx, index, rows) {
		if err != nil {
			return nil, err
		}
		if n++; n == maxKeys {
			return nil, quotaExceeded("AccessKeysPerUser", maxKeys)
		}
	}
	k, err := createKey(r.Tx, r.Account, owner, r.Time)
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
		UserName: t.userName(), AccessKeyId: &k.ID, Status: k.status(), CreateDate: k.Created.Ptr(),
		SecretAccessKey: api.Sensitive(k.Secret.Reveal()),
	}}, nil
}

func resolveListAccessKeys(r *api.Request, in *iamapi.ListAccessKeysInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func listAccessKeys(r *api.Request, in *iamapi.ListAccessKeysInput, t *userTarget) (*iamapi.ListAccessKeysOutput, error) {
	_, index, rows, err := t.owner()
	if err != nil {
		return nil, err
	}
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListAccessKeysOutput{AccessKeyMetadata: []iamapi.AccessKeyMetadata{}}
	out.Marker, err = list(r, &AccessKeys, index, rows, p, func(k *AccessKey) error {
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, iamapi.AccessKeyMetadata{
			UserName: t.userName(), AccessKeyId: &k.ID, Status: k.status(), CreateDate: k.Created.Ptr(),
		})
		return nil
	})
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveUpdateAccessKey(r *api.Request, in *iamapi.UpdateAccessKeyInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func updateAccessKey(r *api.Request, in *iamapi.UpdateAccessKeyInput, t *userTarget) (*iamapi.UpdateAccessKeyOutput, error) {
	k, err := t.key(*in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	if *in.Status != keyActive && *in.Status != keyInactive { // the model has Expired, which nobody can set
		return nil, iamapi.InvalidInputException("An access key cannot be given the status " + *in.Status + ".")
	}
	if k, err = AccessKeys.Edit(r.Tx, table.K(k.ID)); err != nil {
		return nil, err
	}
	k.Inactive = *in.Status == keyInactive
	return &iamapi.UpdateAccessKeyOutput{}, AccessKeys.Put(r.Tx, k)
}

func resolveDeleteAccessKey(r *api.Request, in *iamapi.DeleteAccessKeyInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func deleteAccessKey(r *api.Request, in *iamapi.DeleteAccessKeyInput, t *userTarget) (*iamapi.DeleteAccessKeyOutput, error) {
	k, err := t.key(*in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	return &iamapi.DeleteAccessKeyOutput{}, deleteKey(r.Tx, k.ID)
}

// keyTarget is the access key that GetAccessKeyLastUsed names, or none.
type keyTarget struct {
	*userTarget
	id  string
	key *AccessKey // shared; nil: there is none in the account
}

// resolveGetAccessKeyLastUsed: the resource is the user, who is found by the key.
// A denial names the key, so that it does not tell whose it is.
func resolveGetAccessKeyLastUsed(r *api.Request, in *iamapi.GetAccessKeyLastUsedInput) (t keyTarget, a api.Access, err error) {
	t.id = *in.AccessKeyId
	named := "access key " + t.id
	k, err := AccessKeys.Get(r.Tx, table.K(t.id))
	if errors.Is(err, table.ErrNotFound) || err == nil && k.Account != r.Account {
		a = everything(r)
		a.Named = named
		return t, a, nil
	}
	if err != nil {
		return t, a, err
	}
	t.key = k
	if k.User == "" {
		t.userTarget = &userTarget{entity: entity{r: r, kind: "root"}, root: true}
	} else {
		u, err := Users.Get(r.Tx, table.K(k.User))
		if err != nil {
			return t, a, err
		}
		if t.userTarget, err = locateUser(r, u.Name); err != nil {
			return t, a, err
		}
	}
	a = t.access()
	a.Named = named
	return t, a, nil
}

func (s *Service) getAccessKeyLastUsed(r *api.Request, _ *iamapi.GetAccessKeyLastUsedInput, t keyTarget) (*iamapi.GetAccessKeyLastUsedOutput, error) {
	if t.key == nil {
		// AWS's model has no error for it: nobody is allowed what does not exist.
		return nil, api.AccessDeniedException("User: " + r.Principal.ARN + " is not authorized to perform: " + r.Op.Action() + " on resource: access key " + t.id)
	}
	out := &iamapi.GetAccessKeyLastUsedOutput{
		UserName:          t.userName(),
		AccessKeyLastUsed: &iamapi.AccessKeyLastUsed{ServiceName: new("N/A"), Region: new("N/A")},
	}
	u, err := s.directory.lastUse(r.Tx, t.id)
	if err == nil && u != nil {
		out.AccessKeyLastUsed = &iamapi.AccessKeyLastUsed{LastUsedDate: u.At.Ptr(), ServiceName: &u.Service, Region: &u.Region}
	}
	return out, err
}
