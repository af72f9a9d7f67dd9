// Package iam is AWS Identity and Access Management: accounts, users, groups,
// roles, policies and organisations, and the decision about every call.
//
// # Promises
//
//   - [Directory.Authorize] is the one decision: every call of every service
//     comes here, with all documents that apply, and none is answered without.
//   - A change is in force for the next call. What a decision is made from is
//     cached by principal, and each transaction that uses it reads the counts of
//     changes ([Epoch]) of the account and of the organisations: it sees the
//     newest state, and does not commit if that changed under it.
//   - Users and roles are individuals: policies keep them by unique id, and one
//     made anew under an old name has none of the old one's access.
//   - A code of an MFA device counts once, whatever is tried at the same time: that
//     it was used is written in the transaction that takes it.
//   - Secret access keys must be readable to verify signatures (SigV4 is an
//     HMAC); they rest sealed under the store key and print as a placeholder.
//
// # Rows
//
//	iam.account         account id          Account
//	iam.key             access key id       AccessKey
//	iam.user            unique id           User
//	iam.group           unique id           Group
//	iam.role            unique id           Role, with its trust policy
//	iam.policy          unique id           ManagedPolicy, without documents
//	iam.policydocument  unique id, version  PolicyDocument
//	iam.policyuse       account, ARN        PolicyUse: how often it is attached
//	iam.inline          owner's unique id   Inline: all of an owner's inline policies
//	iam.oidc            account, URL        OIDCProvider
//	iam.saml            account, name       SAMLProvider
//	iam.samlmetadata    account, name       SAMLMetadata
//	iam.profile         unique id           InstanceProfile
//	iam.mfa             account, name       MFADevice
//	iam.roledeletion    account, task       RoleDeletion, of a service-linked role
//	iam.alias           alias               Alias of an account
//	iam.passwordpolicy  account             PasswordPolicy
//	iam.lastuse         key id or unique id LastUse
//	iam.count           account, kind       Count: of users, groups and the like
//	iam.report          account             CredentialReport
//	iam.reportpart      account, number     ReportPart
//	iam.epoch           account             Epoch
//	iam.org, iam.ou, iam.member, iam.controlpolicy, iam.target   organisations
//
// Entities are kept by unique id and found by name through indexes, so that a
// renamed user is the same row, and what refers to it (access keys, groups,
// sessions, policies) refers to the individual.
package iam
