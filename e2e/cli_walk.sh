#!/bin/sh
# Walks the AWS CLI through every served operation of Secrets Manager, IAM and
# CloudWatch Logs and the main ones of KMS and Lambda (boto3_walk.py has all of
# Lambda), and checks what it prints.
#
#   COFFER=coffer DATA_DIR=/path e2e/cli_walk.sh [secrets] [access] [functions]
#
# needs a server running on DATA_DIR. Prints one line per failure and ends with
# exit code 1 if there was one. An operation that this version of the CLI does
# not know is skipped with a message (Debian 12 has CLI 2.9, which knows neither
# AWS_ENDPOINT_URL nor batch-get-secret-value). With FUNCTIONS=off, for machines
# that run no functions of users, none is invoked.
set -u
eval "$("$COFFER" env --data-dir "$DATA_DIR")"
export AWS_PAGER='' AWS_MAX_ATTEMPTS=1 AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
endpoint=$AWS_ENDPOINT_URL
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failures=0

# call runs `aws --endpoint-url ... ARGS --output text`; its answer is in $out.
call() {
	out=$(aws --endpoint-url "$endpoint" "$@" --output text 2>"$tmp/err")
	code=$?
	if grep -q 'Invalid choice' "$tmp/err"; then
		echo "skipped, unknown to this aws: $1 $2"
		return 2
	fi
	return $code
}

fail() {
	failures=$((failures + 1))
	echo "FAIL $*"
	sed 's/^/     /' "$tmp/err"
}

# is WANT ARGS...: the answer is WANT. matches PATTERN ARGS...: it matches a shell pattern.
is() {
	want=$1 && shift
	call "$@"
	case $? in
	2) ;;
	0) [ "$out" = "$want" ] || fail "$1 $2: got '$out', want '$want'" ;;
	*) fail "$1 $2: exit code" ;;
	esac
}

matches() {
	want=$1 && shift
	call "$@"
	case $? in
	2) ;;
	# shellcheck disable=SC2254
	0) case $out in $want) ;; *) fail "$1 $2: got '$out', want '$want'" ;; esac ;;
	*) fail "$1 $2: exit code" ;;
	esac
}

# refused CODE ARGS...: the call fails with this error code.
refused() {
	want=$1 && shift
	call "$@"
	case $? in
	2) ;;
	0) fail "$1 $2: succeeded, want $want" ;;
	*) grep -q "($want)" "$tmp/err" || fail "$1 $2: want $want" ;;
	esac
}

# says TEXT: the last call, which was refused, gave this reason.
says() { grep -qF "$1" "$tmp/err" || fail "want the text: $1"; }

sm=secretsmanager
v1=11111111-1111-1111-1111-111111111111
v2=22222222-2222-2222-2222-222222222222
account=$(aws --endpoint-url "$endpoint" sts get-caller-identity --query Account --output text) || exit 1
me=arn:aws:iam::$account

# Secrets Manager and KMS.
secrets() {
# The endpoint from the environment alone, as `coffer env` promises it for
# current versions (1.29, 2.13).
case $(aws --version 2>&1) in
aws-cli/1.[0-9].* | aws-cli/1.1[0-9].* | aws-cli/1.2[0-8].* | aws-cli/2.[0-9].* | aws-cli/2.1[0-2].*) echo "skipped, older than AWS_ENDPOINT_URL: $(aws --version 2>&1)" ;;
*) aws $sm list-secrets >"$tmp/out" 2>"$tmp/err" || fail "AWS_ENDPOINT_URL" ;;
esac

matches "arn:aws:secretsmanager:$AWS_REGION:*:secret:app/db-??????" $sm create-secret --name app/db --secret-string one --client-request-token $v1 --description first --tags Key=team,Value=blue --query ARN
refused ResourceExistsException $sm create-secret --name app/db --secret-string two
is "one	$v1	AWSCURRENT" $sm get-secret-value --secret-id app/db --query '[SecretString,VersionId,VersionStages[0]]'
is "$v2" $sm put-secret-value --secret-id app/db --secret-string two --client-request-token $v2 --query VersionId
is one $sm get-secret-value --secret-id app/db --version-stage AWSPREVIOUS --query SecretString
is one $sm get-secret-value --secret-id app/db --version-id $v1 --query SecretString
is app/db $sm update-secret --secret-id app/db --description second --query Name
is "second	blue" $sm describe-secret --secret-id app/db --query '[Description,Tags[0].Value]'
is app/db $sm update-secret-version-stage --secret-id app/db --version-stage AWSCURRENT --remove-from-version-id $v2 --move-to-version-id $v1 --query Name
is one $sm get-secret-value --secret-id app/db --query SecretString
is 2 $sm list-secret-version-ids --secret-id app/db --query 'length(Versions)'
is app/db $sm list-secrets --filters Key=name,Values=app/ --query 'SecretList[].Name'
is one $sm batch-get-secret-value --secret-id-list app/db --query 'SecretValues[0].SecretString'
is '' $sm tag-resource --secret-id app/db --tags Key=a,Value=b
is '' $sm untag-resource --secret-id app/db --tag-keys team
is a $sm describe-secret --secret-id app/db --query 'Tags[].Key'
matches '????????????????????????????????????????' $sm get-random-password --password-length 40 --exclude-punctuation --query RandomPassword
policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'$account':root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}'
is True $sm validate-resource-policy --secret-id app/db --resource-policy "$policy" --query PolicyValidationPassed
is app/db $sm put-resource-policy --secret-id app/db --resource-policy "$policy" --block-public-policy --query Name
is "$policy" $sm get-resource-policy --secret-id app/db --query ResourcePolicy
is app/db $sm delete-resource-policy --secret-id app/db --query Name
is None $sm get-resource-policy --secret-id app/db --query ResourcePolicy
printf 'a\000b\377' >"$tmp/binary"
is bin $sm create-secret --name bin --secret-binary "fileb://$tmp/binary" --query Name
is YQBi/w== $sm get-secret-value --secret-id bin --query SecretBinary
matches '[0-9]*' $sm delete-secret --secret-id app/db --recovery-window-in-days 7 --query DeletionDate
refused InvalidRequestException $sm get-secret-value --secret-id app/db
is app/db $sm restore-secret --secret-id app/db --query Name
is bin $sm delete-secret --secret-id bin --force-delete-without-recovery --query Name
refused ResourceNotFoundException $sm get-secret-value --secret-id bin
refused ValidationException $sm get-secret-value --secret-id 'a b'
is None $sm list-secrets --region eu-central-1 --query 'SecretList[0].Name'

call kms create-key --description mine --query KeyMetadata.KeyId || fail "kms create-key"
key=$out
is Enabled kms describe-key --key-id "$key" --query KeyMetadata.KeyState
is '' kms create-alias --alias-name alias/mine --target-key-id "$key"
matches '*alias/mine*' kms list-aliases --query 'Aliases[].AliasName'
printf 'plain' >"$tmp/plain"
call kms encrypt --key-id alias/mine --plaintext "fileb://$tmp/plain" --encryption-context a=1 --query CiphertextBlob || fail "kms encrypt"
printf '%s' "$out" | base64 -d >"$tmp/blob"
is cGxhaW4= kms decrypt --ciphertext-blob "fileb://$tmp/blob" --encryption-context a=1 --query Plaintext
refused InvalidCiphertextException kms decrypt --ciphertext-blob "fileb://$tmp/blob" --encryption-context a=2
matches '?*' kms generate-data-key --key-id "$key" --key-spec AES_256 --query CiphertextBlob
matches '?*' kms generate-data-key-without-plaintext --key-id "$key" --key-spec AES_256 --query CiphertextBlob
matches '?*' kms re-encrypt --ciphertext-blob "fileb://$tmp/blob" --source-encryption-context a=1 --destination-key-id alias/mine --query CiphertextBlob
matches '?*' kms generate-random --number-of-bytes 16 --query Plaintext
matches "*$key" kms rotate-key-on-demand --key-id "$key" --query KeyId
matches '*ON_DEMAND*' kms list-key-rotations --key-id "$key" --query 'Rotations[].RotationType'
is cGxhaW4= kms decrypt --ciphertext-blob "fileb://$tmp/blob" --encryption-context a=1 --query Plaintext
is '' kms enable-key-rotation --key-id "$key"
is True kms get-key-rotation-status --key-id "$key" --query KeyRotationEnabled
is '' kms disable-key-rotation --key-id "$key"
is '' kms tag-resource --key-id "$key" --tags TagKey=a,TagValue=b
is b kms list-resource-tags --key-id "$key" --query 'Tags[0].TagValue'
is '' kms untag-resource --key-id "$key" --tag-keys a
is '' kms update-key-description --key-id "$key" --description other
matches '*key-default-1*' kms get-key-policy --key-id "$key" --policy-name default --query Policy
call kms get-key-policy --key-id "$key" --policy-name default --query Policy && printf '%s' "$out" >"$tmp/policy" &&
	is '' kms put-key-policy --key-id "$key" --policy-name default --policy "file://$tmp/policy"
is default kms list-key-policies --key-id "$key" --query 'PolicyNames[0]'
matches "*$key*" kms list-keys --query 'Keys[].KeyId'
is mine $sm create-secret --name mine --secret-string s --kms-key-id alias/mine --query Name
call kms describe-key --key-id "$key" --query KeyMetadata.AWSAccountId && root=arn:aws:iam::$out:root
call kms create-grant --key-id "$key" --grantee-principal "$root" --retiring-principal "$root" --operations Encrypt Decrypt --constraints EncryptionContextSubset={a=1} --name walk --query GrantId || fail "kms create-grant"
grant=$out
is "walk	$root	1" kms list-grants --key-id "$key" --grant-id "$grant" --query 'Grants[0].[Name,GranteePrincipal,Constraints.EncryptionContextSubset.a]'
is "$grant" kms list-retirable-grants --retiring-principal "$root" --query 'Grants[].GrantId'
is '' kms revoke-grant --key-id "$key" --grant-id "$grant"
call kms create-grant --key-id "$key" --grantee-principal "$root" --operations Decrypt --query GrantToken || fail "kms create-grant"
token=$out
is cGxhaW4= kms decrypt --ciphertext-blob "fileb://$tmp/blob" --encryption-context a=1 --grant-tokens "$token" --query Plaintext
refused InvalidGrantTokenException kms decrypt --ciphertext-blob "fileb://$tmp/blob" --encryption-context a=1 --grant-tokens none
is '' kms retire-grant --grant-token "$token"
refused InvalidArnException kms create-grant --key-id "$key" --grantee-principal "${root%:root}:user/nobody" --operations Decrypt
is '' kms disable-key --key-id "$key"
refused DecryptionFailure $sm get-secret-value --secret-id mine
is '' kms enable-key --key-id "$key"
is s $sm get-secret-value --secret-id mine --query SecretString
call kms create-key --query KeyMetadata.KeyId && is '' kms update-alias --alias-name alias/mine --target-key-id "$out"
is '' kms delete-alias --alias-name alias/mine
is PendingDeletion kms schedule-key-deletion --key-id "$key" --pending-window-in-days 7 --query KeyState
matches "*$key" kms cancel-key-deletion --key-id "$key" --query KeyId

# Keys of other kinds. keep FILE: the answer, decoded.
keep() { printf '%s' "$out" | base64 -d >"$tmp/$1"; }
call kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY --query KeyMetadata.KeyId || fail "kms create-key"
signer=$out
is ECC_NIST_P256 kms get-public-key --key-id "$signer" --query KeySpec
call kms get-public-key --key-id "$signer" --query PublicKey && keep public
call kms sign --key-id "$signer" --message "fileb://$tmp/plain" --signing-algorithm ECDSA_SHA_256 --query Signature || fail "kms sign"
keep signature
is True kms verify --key-id "$signer" --message "fileb://$tmp/plain" --signature "fileb://$tmp/signature" --signing-algorithm ECDSA_SHA_256 --query SignatureValid
refused KMSInvalidSignatureException kms verify --key-id "$signer" --message "fileb://$tmp/binary" --signature "fileb://$tmp/signature" --signing-algorithm ECDSA_SHA_256
refused InvalidKeyUsageException kms encrypt --key-id "$signer" --plaintext "fileb://$tmp/plain"
if command -v openssl >/dev/null; then
	openssl dgst -sha256 -verify "$tmp/public" -keyform DER -signature "$tmp/signature" "$tmp/plain" >/dev/null 2>"$tmp/err" || fail "openssl does not verify the signature"
fi
call kms create-key --key-spec HMAC_256 --key-usage GENERATE_VERIFY_MAC --query KeyMetadata.KeyId || fail "kms create-key"
mac=$out
call kms generate-mac --key-id "$mac" --message "fileb://$tmp/plain" --mac-algorithm HMAC_SHA_256 --query Mac && keep mac &&
	is True kms verify-mac --key-id "$mac" --message "fileb://$tmp/plain" --mac "fileb://$tmp/mac" --mac-algorithm HMAC_SHA_256 --query MacValid
call kms create-key --key-spec ECC_NIST_P256 --key-usage KEY_AGREEMENT --query KeyMetadata.KeyId || fail "kms create-key"
matches '?*' kms derive-shared-secret --key-id "$out" --key-agreement-algorithm ECDH --public-key "fileb://$tmp/public" --query SharedSecret
refused DisabledException kms generate-data-key-pair-without-plaintext --key-id "$key" --key-pair-spec ECC_NIST_P256
is '' kms enable-key --key-id "$key"
is RSA_2048 kms generate-data-key-pair --key-id "$key" --key-pair-spec RSA_2048 --query KeyPairSpec
is ECC_NIST_P256 kms generate-data-key-pair-without-plaintext --key-id "$key" --key-pair-spec ECC_NIST_P256 --query KeyPairSpec

# Imported material.
call kms create-key --origin EXTERNAL --query KeyMetadata.KeyId || fail "kms create-key"
external=$out
is PendingImport kms describe-key --key-id "$external" --query KeyMetadata.KeyState
call kms get-parameters-for-import --key-id "$external" --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048 --query '[PublicKey,ImportToken]' || fail "kms get-parameters-for-import"
printf '%s' "$out" | cut -f1 | base64 -d >"$tmp/wrapping"
printf '%s' "$out" | cut -f2 | base64 -d >"$tmp/token"
refused InvalidCiphertextException kms import-key-material --key-id "$external" --import-token "fileb://$tmp/token" --encrypted-key-material "fileb://$tmp/plain" --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE
if command -v openssl >/dev/null; then
	head -c 32 /dev/urandom >"$tmp/material"
	openssl pkeyutl -encrypt -pubin -keyform DER -inkey "$tmp/wrapping" -in "$tmp/material" -out "$tmp/wrapped" \
		-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 2>"$tmp/err" || fail "openssl does not wrap"
	matches "*$external" kms import-key-material --key-id "$external" --import-token "fileb://$tmp/token" --encrypted-key-material "fileb://$tmp/wrapped" --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE --query KeyId
	is Enabled kms describe-key --key-id "$external" --query KeyMetadata.KeyState
fi
matches "*$external" kms delete-imported-key-material --key-id "$external" --query KeyId
is PendingImport kms describe-key --key-id "$external" --query KeyMetadata.KeyState

# A key of two regions.
call kms create-key --multi-region --query KeyMetadata.KeyId || fail "kms create-key"
mrk=$out
is Creating kms replicate-key --key-id "$mrk" --replica-region eu-central-1 --query ReplicaKeyMetadata.KeyState
call kms encrypt --key-id "$mrk" --plaintext "fileb://$tmp/plain" --query CiphertextBlob && keep blob
is cGxhaW4= kms decrypt --region eu-central-1 --ciphertext-blob "fileb://$tmp/blob" --query Plaintext
is '' kms update-primary-region --key-id "$mrk" --primary-region eu-central-1
is REPLICA kms describe-key --key-id "$mrk" --query KeyMetadata.MultiRegionConfiguration.MultiRegionKeyType
}

# IAM and CloudWatch Logs.
access() {
# IAM: users, access keys, groups, roles, boundaries, instance profiles, tags,
# service-linked roles, MFA devices and settings of the account.
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"'$me':root"},"Action":"sts:AssumeRole"}]}'
admin=arn:aws:iam::aws:policy/AdministratorAccess
is "$me:user/dev/ana" iam create-user --user-name ana --path /dev/ --tags Key=team,Value=blue --query User.Arn
refused EntityAlreadyExists iam create-user --user-name ANA
is blue iam get-user --user-name ana --query 'User.Tags[0].Value'
is "$me:root" iam get-user --query User.Arn
is ana iam list-users --path-prefix /dev/ --query 'Users[].UserName'
is '' iam put-user-permissions-boundary --user-name ana --permissions-boundary $admin
is $admin iam get-user --user-name ana --query User.PermissionsBoundary.PermissionsBoundaryArn
is '' iam delete-user-permissions-boundary --user-name ana
is '' iam tag-user --user-name ana --tags Key=a,Value=1
is '' iam untag-user --user-name ana --tag-keys team
is a iam list-user-tags --user-name ana --query 'Tags[].Key'
call iam create-access-key --user-name ana --query 'AccessKey.[AccessKeyId,SecretAccessKey]' || fail "iam create-access-key"
id=$(printf '%s' "$out" | cut -f1) secret=$(printf '%s' "$out" | cut -f2)
[ "$(AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret aws --endpoint-url "$endpoint" sts get-caller-identity --query Arn --output text 2>"$tmp/err")" = "$me:user/dev/ana" ] || fail "the user's key"
is "ana	sts" iam get-access-key-last-used --access-key-id "$id" --query '[UserName,AccessKeyLastUsed.ServiceName]'
is '' iam update-access-key --user-name ana --access-key-id "$id" --status Inactive
is Inactive iam list-access-keys --user-name ana --query 'AccessKeyMetadata[].Status'
is '' iam update-user --user-name ana --new-user-name berta --new-path /lead/
is "$me:group/devs" iam create-group --group-name devs --query Group.Arn
is '' iam add-user-to-group --group-name devs --user-name berta
is berta iam get-group --group-name devs --query 'Users[].UserName'
is devs iam list-groups-for-user --user-name berta --query 'Groups[].GroupName'
is '' iam update-group --group-name devs --new-group-name leads
is leads iam list-groups --query 'Groups[].GroupName'
refused DeleteConflict iam delete-user --user-name berta
is '' iam remove-user-from-group --group-name leads --user-name berta
is '' iam delete-group --group-name leads
is '' iam delete-access-key --user-name berta --access-key-id "$id"

is "$me:role/deploy" iam create-role --role-name deploy --assume-role-policy-document "$trust" --max-session-duration 7200 --permissions-boundary $admin --query Role.Arn
refused MalformedPolicyDocument iam create-role --role-name other --assume-role-policy-document '{}'
is "7200	$me:root" iam get-role --role-name deploy --query 'Role.[MaxSessionDuration,AssumeRolePolicyDocument.Statement[0].Principal.AWS]'
is deploy iam list-roles --query 'Roles[].RoleName'
is '' iam update-role --role-name deploy --description first
is second iam update-role-description --role-name deploy --description second --query Role.Description
is '' iam update-assume-role-policy --role-name deploy --policy-document "$trust"
is '' iam delete-role-permissions-boundary --role-name deploy
is '' iam put-role-permissions-boundary --role-name deploy --permissions-boundary $admin
is '' iam tag-role --role-name deploy --tags Key=a,Value=1
is a iam list-role-tags --role-name deploy --query 'Tags[].Key'
is '' iam untag-role --role-name deploy --tag-keys a
is "$me:instance-profile/web" iam create-instance-profile --instance-profile-name web --query InstanceProfile.Arn
is '' iam add-role-to-instance-profile --instance-profile-name web --role-name deploy
refused LimitExceeded iam add-role-to-instance-profile --instance-profile-name web --role-name deploy
is deploy iam get-instance-profile --instance-profile-name web --query 'InstanceProfile.Roles[].RoleName'
is web iam list-instance-profiles --query 'InstanceProfiles[].InstanceProfileName'
is web iam list-instance-profiles-for-role --role-name deploy --query 'InstanceProfiles[].InstanceProfileName'
is '' iam tag-instance-profile --instance-profile-name web --tags Key=a,Value=1
is a iam list-instance-profile-tags --instance-profile-name web --query 'Tags[].Key'
is '' iam untag-instance-profile --instance-profile-name web --tag-keys a
is '' iam remove-role-from-instance-profile --instance-profile-name web --role-name deploy
is '' iam delete-instance-profile --instance-profile-name web
is '' iam delete-role --role-name deploy
is AWSServiceRoleForECS iam create-service-linked-role --aws-service-name ecs.amazonaws.com --query Role.RoleName
refused UnmodifiableEntity iam delete-role --role-name AWSServiceRoleForECS
call iam delete-service-linked-role --role-name AWSServiceRoleForECS --query DeletionTaskId &&
	is SUCCEEDED iam get-service-linked-role-deletion-status --deletion-task-id "$out" --query Status

phone=$me:mfa/phone
is "$phone" iam create-virtual-mfa-device --virtual-mfa-device-name phone --outfile "$tmp/seed" --bootstrap-method Base32StringSeed --query VirtualMFADevice.SerialNumber
totp() { # the code some steps from now (RFC 6238)
	python3 -c 'import base64,hmac,struct,sys,time
h=hmac.new(base64.b32decode(open(sys.argv[1]).read()),struct.pack(">q",int(time.time())//30+int(sys.argv[2])),"sha1").digest()
print("%06d"%((struct.unpack(">I",h[h[19]&15:(h[19]&15)+4])[0]&0x7fffffff)%1000000))' "$tmp/seed" "$1"
}
refused InvalidAuthenticationCode iam enable-mfa-device --user-name berta --serial-number "$phone" --authentication-code1 "$(totp 0)" --authentication-code2 "$(totp -1)"
is '' iam enable-mfa-device --user-name berta --serial-number "$phone" --authentication-code1 "$(totp -1)" --authentication-code2 "$(totp 0)"
is "$phone" iam list-mfa-devices --user-name berta --query 'MFADevices[].SerialNumber'
is berta iam list-virtual-mfa-devices --assignment-status Assigned --query 'VirtualMFADevices[].User.UserName'
is berta iam get-mfa-device --user-name berta --serial-number "$phone" --query UserName
is '' iam resync-mfa-device --user-name berta --serial-number "$phone" --authentication-code1 "$(totp 5)" --authentication-code2 "$(totp 6)"
is '' iam tag-mfa-device --serial-number "$phone" --tags Key=a,Value=1
is a iam list-mfa-device-tags --serial-number "$phone" --query 'Tags[].Key'
is '' iam untag-mfa-device --serial-number "$phone" --tag-keys a
refused DeleteConflict iam delete-virtual-mfa-device --serial-number "$phone"
is '' iam deactivate-mfa-device --user-name berta --serial-number "$phone"
is '' iam delete-virtual-mfa-device --serial-number "$phone"
is '' iam delete-user --user-name berta
is '' iam create-account-alias --account-alias example
is example iam list-account-aliases --query 'AccountAliases[0]'
is '' iam delete-account-alias --account-alias example
refused NoSuchEntity iam get-account-password-policy
is '' iam update-account-password-policy --minimum-password-length 14
is 14 iam get-account-password-policy --query PasswordPolicy.MinimumPasswordLength
is '' iam delete-account-password-policy
is "0	2" iam get-account-summary --query 'SummaryMap.[Users,AccessKeysPerUserQuota]'

# IAM: managed and inline policies, what they decide, simulation, reports.
reads='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:Get*","Resource":"*"}]}'
lists='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:List*","Resource":"*"}]}'
p=$me:policy/team/reads
is "$p" iam create-policy --policy-name reads --path /team/ --policy-document "$reads" --description 'reads it' --tags Key=a,Value=1 --query Policy.Arn
refused EntityAlreadyExists iam create-policy --policy-name reads --policy-document "$reads"
refused MalformedPolicyDocument iam create-policy --policy-name other --policy-document '{}'
is "reads it	v1	0	1" iam get-policy --policy-arn "$p" --query 'Policy.[Description,DefaultVersionId,AttachmentCount,Tags[0].Value]'
is v2 iam create-policy-version --policy-arn "$p" --policy-document "$lists" --query PolicyVersion.VersionId
is 'secretsmanager:List*' iam get-policy-version --policy-arn "$p" --version-id v2 --query 'PolicyVersion.Document.Statement[0].Action'
is "v2	v1" iam list-policy-versions --policy-arn "$p" --query 'Versions[].VersionId'
is reads iam list-policies --scope Local --query 'Policies[].PolicyName'
matches '*AdministratorAccess*' iam list-policies --scope AWS --query 'Policies[].PolicyName'
is '' iam tag-policy --policy-arn "$p" --tags Key=b,Value=2
is '' iam untag-policy --policy-arn "$p" --tag-keys a
is b iam list-policy-tags --policy-arn "$p" --query 'Tags[].Key'
call iam create-user --user-name ana && call iam create-group --group-name devs && call iam create-role --role-name deploy --assume-role-policy-document "$trust" || fail "iam user, group and role"
call iam create-access-key --user-name ana --query 'AccessKey.[AccessKeyId,SecretAccessKey]' || fail "iam create-access-key"
id=${out%%	*} secret=${out##*	}
call $sm create-secret --name guarded --secret-string s || fail "$sm create-secret"
as_ana() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret "$@"; }
as_ana refused AccessDeniedException $sm get-secret-value --secret-id guarded
is '' iam attach-user-policy --user-name ana --policy-arn "$p"
as_ana is s $sm get-secret-value --secret-id guarded --query SecretString
is '' iam set-default-policy-version --policy-arn "$p" --version-id v2
as_ana refused AccessDeniedException $sm get-secret-value --secret-id guarded
is '' iam put-user-policy --user-name ana --policy-name own --policy-document "$reads"
as_ana is s $sm get-secret-value --secret-id guarded --query SecretString
is 'secretsmanager:Get*' iam get-user-policy --user-name ana --policy-name own --query 'PolicyDocument.Statement[0].Action'
is own iam list-user-policies --user-name ana --query 'PolicyNames[]'
is '' iam attach-group-policy --group-name devs --policy-arn "$p"
is '' iam attach-role-policy --role-name deploy --policy-arn "$p"
is reads iam list-attached-user-policies --user-name ana --query 'AttachedPolicies[].PolicyName'
is reads iam list-attached-group-policies --group-name devs --query 'AttachedPolicies[].PolicyName'
is reads iam list-attached-role-policies --role-name deploy --path-prefix /team/ --query 'AttachedPolicies[].PolicyName'
is "ana	devs	deploy" iam list-entities-for-policy --policy-arn "$p" --query '[PolicyUsers[0].UserName,PolicyGroups[0].GroupName,PolicyRoles[0].RoleName]'
is '' iam put-group-policy --group-name devs --policy-name own --policy-document "$reads"
is '' iam put-role-policy --role-name deploy --policy-name own --policy-document "$reads"
is own iam get-group-policy --group-name devs --policy-name own --query PolicyName
is own iam get-role-policy --role-name deploy --policy-name own --query PolicyName
is own iam list-group-policies --group-name devs --query 'PolicyNames[]'
is own iam list-role-policies --role-name deploy --query 'PolicyNames[]'
is "allowed	user_ana_own" iam simulate-principal-policy --policy-source-arn "$me:user/ana" --action-names secretsmanager:GetSecretValue --query 'EvaluationResults[0].[EvalDecision,MatchedStatements[0].SourcePolicyId]'
is implicitDeny iam simulate-custom-policy --policy-input-list "$reads" --action-names s3:GetObject --query 'EvaluationResults[0].EvalDecision'
is aws:username iam get-context-keys-for-custom-policy --policy-input-list '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}"}]}' --query 'ContextKeyNames[0]'
is 0 iam get-context-keys-for-principal-policy --policy-source-arn "$me:role/deploy" --query 'length(ContextKeyNames)'
is "1	1	1	1" iam get-account-authorization-details --query '[length(UserDetailList),length(GroupDetailList),length(RoleDetailList),length(Policies)]'
refused ReportNotPresent iam get-credential-report
is STARTED iam generate-credential-report --query State
refused DeleteConflict iam delete-policy --policy-arn "$p"
is '' iam detach-user-policy --user-name ana --policy-arn "$p"
is '' iam detach-group-policy --group-name devs --policy-arn "$p"
is '' iam detach-role-policy --role-name deploy --policy-arn "$p"
is '' iam delete-user-policy --user-name ana --policy-name own
is '' iam delete-group-policy --group-name devs --policy-name own
is '' iam delete-role-policy --role-name deploy --policy-name own
refused DeleteConflict iam delete-policy --policy-arn "$p"
is '' iam delete-policy-version --policy-arn "$p" --version-id v1
is '' iam delete-policy --policy-arn "$p"
refused NoSuchEntity iam get-policy --policy-arn "$p"
tries=0
until call iam generate-credential-report --query State && [ "$out" = COMPLETE ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 60 ] || { fail "iam generate-credential-report: never complete"; break; }
done
call iam get-credential-report --query Content && printf '%s' "$out" | base64 -d | grep -q "^ana,$me:user/ana," || fail "iam get-credential-report"
idp=$me:oidc-provider/issuer.example/x
is "$idp" iam create-open-id-connect-provider --url https://issuer.example/x --client-id-list app --query OpenIDConnectProviderArn
is "issuer.example/x	app" iam get-open-id-connect-provider --open-id-connect-provider-arn "$idp" --query '[Url,ClientIDList[0]]'
is "$idp" iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn'
is '' iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "$idp" --client-id b
is '' iam remove-client-id-from-open-id-connect-provider --open-id-connect-provider-arn "$idp" --client-id app
is '' iam update-open-id-connect-provider-thumbprint --open-id-connect-provider-arn "$idp" --thumbprint-list 0123456789012345678901234567890123456789
is '' iam tag-open-id-connect-provider --open-id-connect-provider-arn "$idp" --tags Key=a,Value=1
is a iam list-open-id-connect-provider-tags --open-id-connect-provider-arn "$idp" --query 'Tags[].Key'
is '' iam untag-open-id-connect-provider --open-id-connect-provider-arn "$idp" --tag-keys a
is '' iam delete-open-id-connect-provider --open-id-connect-provider-arn "$idp"
idp=$me:saml-provider/corp metadata=file://../internal/iam/testdata/metadata.xml
is "$idp" iam create-saml-provider --name corp --saml-metadata-document $metadata --query SAMLProviderArn
matches '*EntityDescriptor*' iam get-saml-provider --saml-provider-arn "$idp" --query SAMLMetadataDocument
is "$idp" iam list-saml-providers --query 'SAMLProviderList[].Arn'
is "$idp" iam update-saml-provider --saml-provider-arn "$idp" --saml-metadata-document $metadata --query SAMLProviderArn
is '' iam tag-saml-provider --saml-provider-arn "$idp" --tags Key=a,Value=1
is a iam list-saml-provider-tags --saml-provider-arn "$idp" --query 'Tags[].Key'
is '' iam untag-saml-provider --saml-provider-arn "$idp" --tag-keys a
is '' iam delete-saml-provider --saml-provider-arn "$idp"

now=$(date +%s)000
g='--log-group-name /cli/app'
logs=arn:aws:logs:$AWS_REGION:${me#arn:aws:iam::}:log-group:/cli/app
is '' logs create-log-group $g --tags team=blue
refused ResourceAlreadyExistsException logs create-log-group $g
refused InvalidParameterException logs create-log-group --log-group-name /cli/k --kms-key-id alias/k
is "$logs:*	0" logs describe-log-groups --log-group-name-prefix /cli --query 'logGroups[].[arn,storedBytes]'
is /cli/app logs list-log-groups --log-group-name-pattern cli --query 'logGroups[].logGroupName'
is '' logs create-log-stream $g --log-stream-name one
is '' logs create-log-stream $g --log-stream-name two
matches '*' logs put-log-events $g --log-stream-name one --log-events "timestamp=$now,message=first" "timestamp=$now,message=second"
is 1 logs put-log-events $g --log-stream-name two --log-events timestamp=1,message=old "timestamp=$now,message=third" --query rejectedLogEventsInfo.tooOldLogEventEndIndex
refused ResourceNotFoundException logs put-log-events $g --log-stream-name none --log-events "timestamp=$now,message=x"
is 'one	two' logs describe-log-streams $g --query 'logStreams[].logStreamName'
is 'first	second' logs get-log-events $g --log-stream-name one --query 'events[].message'
is first logs get-log-events $g --log-stream-name one --start-from-head --limit 1 --query 'events[].message'
is "second	third" logs filter-log-events $g --filter-pattern '?second ?third' --query 'sort(events[].message)'
is '' logs put-retention-policy $g --retention-in-days 30
is 30 logs describe-log-groups --query 'logGroups[].retentionInDays'
is '' logs delete-retention-policy $g
is '' logs tag-resource --resource-arn "$logs" --tags a=1,b=2
is '' logs untag-resource --resource-arn "$logs" --tag-keys a
is '2	blue' logs list-tags-for-resource --resource-arn "$logs" --query 'tags.[b,team]'
is '' logs tag-log-group $g --tags c=3
is '' logs untag-log-group $g --tags b
is '3	blue' logs list-tags-log-group $g --query 'tags.[c,team]'
is '' logs put-log-group-deletion-protection --log-group-identifier /cli/app --deletion-protection-enabled
refused ValidationException logs delete-log-group $g
is '' logs put-log-group-deletion-protection --log-group-identifier /cli/app --no-deletion-protection-enabled
is '' logs delete-log-stream $g --log-stream-name one
refused ResourceNotFoundException logs delete-log-stream $g --log-stream-name one
is '' logs delete-log-group $g
refused ResourceNotFoundException logs delete-log-group $g
}

# Lambda and rotation.
functions() {
# Lambda: what the CLI adds to boto3 is files, shorthand, waiters and exit codes.
fn='--function-name greet'
f=arn:aws:lambda:$AWS_REGION:$account:function
cat >"$tmp/index.py" <<'END'
import os
def handler(event, context):
    print("event", event["n"])
    return os.environ["GREETING"] + " " + str(1 // event["n"])
END
(cd "$tmp" && python3 -m zipfile -c code.zip index.py)
printf '{"n":1}' >"$tmp/one"
printf '{"n":0}' >"$tmp/zero"
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
is "$me:role/greet" iam create-role --role-name greet --assume-role-policy-document "$trust" --query Role.Arn
refused InvalidParameterValueException lambda create-function $fn --role "$me:role/deploy" --runtime python3.11 --handler index.handler --zip-file "fileb://$tmp/code.zip"
says 'The role defined for the function cannot be assumed by Lambda.'
is "$f:greet:1	Active	hei" lambda create-function $fn --role "$me:role/greet" --runtime python3.11 --handler index.handler --zip-file "fileb://$tmp/code.zip" \
	--environment 'Variables={GREETING=hei}' --tags team=blue --publish --query '[FunctionArn,State,Environment.Variables.GREETING]'
is '' lambda wait function-active $fn
refused ResourceNotFoundException lambda get-function --function-name none
says "Function not found: $f:none"
is 204 lambda invoke $fn --invocation-type DryRun "$tmp/answer" --query StatusCode
if [ "${FUNCTIONS:-}" = off ]; then
	echo "skipped, functions do not run here: lambda invoke"
else
	is "200	1" lambda invoke $fn --qualifier 1 --payload "fileb://$tmp/one" "$tmp/answer" --query '[StatusCode,ExecutedVersion]'
	[ "$(cat "$tmp/answer")" = '"hei 1"' ] || fail "lambda invoke: got $(cat "$tmp/answer")"
	call lambda invoke $fn --payload "fileb://$tmp/zero" --log-type Tail "$tmp/answer" --query '[FunctionError,LogResult]' || fail "lambda invoke"
	[ "${out%%	*}" = Unhandled ] && grep -q '"errorType": "ZeroDivisionError"' "$tmp/answer" || fail "lambda invoke: got $out, $(cat "$tmp/answer")"
	printf '%s' "${out##*	}" | base64 -d | grep -q '^event 0$' || fail "lambda invoke: the log's tail"
	is 202 lambda invoke $fn --invocation-type Event --payload "fileb://$tmp/one" "$tmp/answer" --query StatusCode
	matches '*event 0*' logs tail /aws/lambda/greet --format short
fi
is "$f:greet" lambda update-function-configuration $fn --environment 'Variables={GREETING=hello}' --timeout 9 --query FunctionArn
is 2 lambda update-function-code $fn --zip-file "fileb://$tmp/code.zip" --publish --query Version
is "hei	hello" lambda list-versions-by-function $fn --query 'Versions[1:].Environment.Variables.GREETING'
is "$f:greet:live	0.25" lambda create-alias $fn --name live --function-version 1 --routing-config 'AdditionalVersionWeights={2=0.25}' --query '[AliasArn,RoutingConfig.AdditionalVersionWeights."2"]'
matches '*"AWS:SourceAccount":"'"$account"'"*' lambda add-permission $fn --statement-id s --action lambda:InvokeFunction --principal secretsmanager.amazonaws.com --source-account "$account"
matches '*"Sid":"s"*' lambda get-policy $fn --query Policy
is '' lambda remove-permission $fn --statement-id s
is "arn:aws:lambda:$AWS_REGION:$account:layer:words:1" lambda publish-layer-version --layer-name words --zip-file "fileb://$tmp/code.zip" --compatible-runtimes python3.11 --query LayerVersionArn
is blue lambda list-tags --resource "$f:greet" --query Tags.team
is 900 lambda put-function-concurrency $fn --reserved-concurrent-executions 900 --query ReservedConcurrentExecutions
is 100 lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions

# Rotation.
call $sm create-secret --name rotated --secret-string '{"password":"first"}' --query VersionId || fail "$sm create-secret"
first=$out
refused AccessDeniedException $sm rotate-secret --secret-id rotated --rotation-lambda-arn "$f:greet"
says 'Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.'
is rotated $sm rotate-secret --secret-id rotated --rotation-lambda-arn SecretsManagerRotationTemplate --rotation-rules 'ScheduleExpression="rate(10 days)",Duration=3h' --query Name
tries=0
until call $sm list-secret-version-ids --secret-id rotated --query 'Versions[?VersionStages==`["AWSPREVIOUS"]`].VersionId' && [ "$out" = "$first" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 60 ] || { fail "$sm rotate-secret: never done"; break; }
done
is rotated $sm rotate-secret --secret-id rotated --no-rotate-immediately --rotation-rules 'ScheduleExpression="cron(0 8 1 * ? *)"' --query Name
is "True	$f:SecretsManagerRotationTemplate	cron(0 8 1 * ? *)	None" $sm describe-secret --secret-id rotated --query '[RotationEnabled,RotationLambdaARN,RotationRules.ScheduleExpression,RotationRules.Duration]'
is rotated $sm cancel-rotate-secret --secret-id rotated --query Name
is "False	None" $sm describe-secret --secret-id rotated --query '[RotationEnabled,NextRotationDate]'
call $sm create-secret --name never --secret-string s || fail "$sm create-secret"
refused InvalidRequestException $sm cancel-rotate-secret --secret-id never
says "You can't cancel the rotation of a secret for which rotation was never configured."
call lambda delete-function $fn || fail "lambda delete-function"
is None lambda list-functions --query 'Functions[0].FunctionName'
}

for part in "${@:-all}"; do
	case $part in
	all) secrets; access; functions ;;
	secrets | access | functions) $part ;;
	*) echo "no part $part: secrets, access, functions"; exit 2 ;;
	esac
done

[ "$failures" -eq 0 ] || { echo "$failures failures"; exit 1; }
echo "ok"
