"""Walks boto3 through every served operation of Secrets Manager, IAM, STS and CloudWatch
Logs and the main ones of KMS.

Takes the endpoint, keys and CA from the environment that `coffer env` sets. The
endpoint is passed explicitly too: boto3 before 1.28 (Debian 12 has 1.26) does
not know AWS_ENDPOINT_URL. Operations that the installed version does not know
are skipped with a message. Values are never printed.
"""

import base64
import hmac
import json
import os
import struct
import sys
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

failures = 0


def client(service, **kw):
    config = Config(retries={"max_attempts": 0})
    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=config, **kw)


def equal(what, got, want):
    global failures
    if got != want:
        failures += 1
        print(f"FAIL {what}: not as expected")


def refused(code, call, **kw):
    global failures
    try:
        call(**kw)
    except ClientError as e:
        if e.response["Error"]["Code"] == code:
            return
        print(f"     got {e.response['Error']['Code']}")
    failures += 1
    print(f"FAIL want {code}")


def known(c, name):
    if hasattr(c, name):
        return True
    print(f"skipped, unknown to boto3 {boto3.__version__}: {name}")
    return False


def secrets(sm):
    v1, v2 = str(uuid.uuid4()), str(uuid.uuid4())
    made = sm.create_secret(Name="b/db", SecretString="one", ClientRequestToken=v1, Tags=[{"Key": "k", "Value": "v"}])
    equal("VersionId", made["VersionId"], v1)
    equal("no ReplicationStatus", "ReplicationStatus" in made, False)
    arn = made["ARN"]
    got = sm.get_secret_value(SecretId=arn)
    equal("value", (got["SecretString"], got["VersionStages"], "SecretBinary" in got), ("one", ["AWSCURRENT"], False))
    equal("status", got["ResponseMetadata"]["HTTPStatusCode"], 200)
    equal("request id", len(got["ResponseMetadata"]["RequestId"]), 36)
    sm.put_secret_value(SecretId="b/db", SecretBinary=bytes(range(256)), ClientRequestToken=v2)
    equal("binary", sm.get_secret_value(SecretId="b/db")["SecretBinary"], bytes(range(256)))
    equal("previous", sm.get_secret_value(SecretId="b/db", VersionStage="AWSPREVIOUS")["SecretString"], "one")
    sm.update_secret(SecretId="b/db", Description="d")
    sm.update_secret_version_stage(SecretId="b/db", VersionStage="AWSCURRENT", RemoveFromVersionId=v2, MoveToVersionId=v1)
    sm.tag_resource(SecretId="b/db", Tags=[{"Key": "a", "Value": "ä"}])
    sm.untag_resource(SecretId="b/db", TagKeys=["k"])
    d = sm.describe_secret(SecretId="b/db")
    equal("describe", (d["Description"], d["Tags"], d["VersionIdsToStages"]),
          ("d", [{"Key": "a", "Value": "ä"}], {v1: ["AWSCURRENT"], v2: ["AWSPREVIOUS"]}))
    equal("versions", len(sm.list_secret_version_ids(SecretId="b/db", IncludeDeprecated=True)["Versions"]), 2)
    for i in range(5):
        sm.create_secret(Name=f"page/{i}")
    pages = sm.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": ["page/"]}], PaginationConfig={"PageSize": 2})
    equal("pages", [s["Name"] for p in pages for s in p["SecretList"]], [f"page/{i}" for i in range(5)])
    if known(sm, "batch_get_secret_value"):
        batch = sm.batch_get_secret_value(SecretIdList=["b/db", "nobody"])
        equal("batch", (batch["SecretValues"][0]["SecretString"], batch["Errors"][0]["ErrorCode"]), ("one", "ResourceNotFoundException"))
    equal("password", len(sm.get_random_password(PasswordLength=20)["RandomPassword"]), 20)
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}' % arn.split(":")[4]
    equal("validate", sm.validate_resource_policy(SecretId="b/db", ResourcePolicy=policy)["PolicyValidationPassed"], True)
    sm.put_resource_policy(SecretId="b/db", ResourcePolicy=policy, BlockPublicPolicy=True)
    equal("policy", sm.get_resource_policy(SecretId="b/db")["ResourcePolicy"], policy)
    sm.delete_resource_policy(SecretId="b/db")
    sm.delete_secret(SecretId="b/db")
    refused("InvalidRequestException", sm.get_secret_value, SecretId="b/db")
    sm.restore_secret(SecretId="b/db")
    sm.delete_secret(SecretId="b/db", ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", sm.get_secret_value, SecretId="b/db")
    try:
        sm.describe_secret(SecretId="b/db")
    except sm.exceptions.ResourceNotFoundException as e:
        equal("message", e.response["Error"]["Message"], "Secrets Manager can't find the specified secret.")


def keys(kms):
    key = kms.create_key(Description="b")["KeyMetadata"]
    kid = key["KeyId"]
    kms.create_alias(AliasName="alias/b", TargetKeyId=kid)
    blob = kms.encrypt(KeyId="alias/b", Plaintext=b"plain", EncryptionContext={"a": "1"})["CiphertextBlob"]
    dec = kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "1"})
    equal("decrypt", (dec["Plaintext"], dec["KeyId"]), (b"plain", key["Arn"]))
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
    data = kms.generate_data_key(KeyId=kid, KeySpec="AES_256")
    equal("data key", kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"], data["Plaintext"])
    kms.generate_data_key_without_plaintext(KeyId=kid, NumberOfBytes=16)
    equal("random", len(kms.generate_random(NumberOfBytes=7)["Plaintext"]), 7)
    kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=kid)
    kms.enable_key_rotation(KeyId=kid)
    equal("rotation", kms.get_key_rotation_status(KeyId=kid)["KeyRotationEnabled"], True)
    if known(kms, "rotate_key_on_demand"):
        kms.rotate_key_on_demand(KeyId=kid)
        equal("old blob", kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "1"})["Plaintext"], b"plain")
    if known(kms, "list_key_rotations"):
        equal("rotations", [r["RotationType"] for r in kms.list_key_rotations(KeyId=kid)["Rotations"]][-1:], ["ON_DEMAND"])
    kms.disable_key_rotation(KeyId=kid)
    equal("state", kms.describe_key(KeyId="alias/b")["KeyMetadata"]["KeyState"], "Enabled")
    kms.update_key_description(KeyId=kid, Description="c")
    kms.tag_resource(KeyId=kid, Tags=[{"TagKey": "a", "TagValue": "b"}])
    equal("tags", kms.list_resource_tags(KeyId=kid)["Tags"], [{"TagKey": "a", "TagValue": "b"}])
    kms.untag_resource(KeyId=kid, TagKeys=["a"])
    policy = kms.get_key_policy(KeyId=kid, PolicyName="default")["Policy"]
    kms.put_key_policy(KeyId=kid, PolicyName="default", Policy=policy)
    equal("policies", kms.list_key_policies(KeyId=kid)["PolicyNames"], ["default"])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/b", TargetKeyId=other)
    equal("alias", [a["TargetKeyId"] for a in kms.list_aliases()["Aliases"] if a["AliasName"] == "alias/b"], [other])
    kms.delete_alias(AliasName="alias/b")
    equal("keys", kid in [k["KeyId"] for p in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in p["Keys"]], True)
    grants(kms, key)
    kms.disable_key(KeyId=kid)
    refused("DisabledException", kms.encrypt, KeyId=kid, Plaintext=b"x")
    kms.enable_key(KeyId=kid)
    equal("deletion", kms.schedule_key_deletion(KeyId=kid, PendingWindowInDays=7)["KeyId"], key["Arn"])
    equal("no deletion", kms.cancel_key_deletion(KeyId=kid)["KeyId"], key["Arn"])


def grants(kms, key):
    root = "arn:aws:iam::%s:root" % key["AWSAccountId"]
    made = [kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=root, RetiringPrincipal=root, Operations=["Decrypt", "DescribeKey"],
                             Constraints={"EncryptionContextEquals": {"a": "1"}}, Name=f"g{i}") for i in range(3)]
    again = kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=root, RetiringPrincipal=root, Operations=["Decrypt", "DescribeKey"],
                             Constraints={"EncryptionContextEquals": {"a": "1"}}, Name="g0")
    equal("the same grant, another token", (again["GrantId"] == made[0]["GrantId"], again["GrantToken"] == made[0]["GrantToken"]), (True, False))
    pages = kms.get_paginator("list_grants").paginate(KeyId=key["KeyId"], PaginationConfig={"PageSize": 2})
    listed = {g["GrantId"]: g for p in pages for g in p["Grants"]}
    equal("grants", sorted(listed), sorted(g["GrantId"] for g in made))
    equal("grant", {k: v for k, v in listed[made[1]["GrantId"]].items() if k not in ("CreationDate", "GrantId")},
          {"KeyId": key["Arn"], "Name": "g1", "GranteePrincipal": root, "RetiringPrincipal": root, "IssuingAccount": root,
           "Operations": ["Decrypt", "DescribeKey"], "Constraints": {"EncryptionContextEquals": {"a": "1"}}})
    equal("retirable", len(kms.list_retirable_grants(RetiringPrincipal=root)["Grants"]), 3)
    kms.retire_grant(GrantToken=made[0]["GrantToken"])
    kms.retire_grant(KeyId=key["Arn"], GrantId=made[1]["GrantId"])
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=made[2]["GrantId"])
    refused("NotFoundException", kms.revoke_grant, KeyId=key["KeyId"], GrantId=made[2]["GrantId"])
    equal("no grants", kms.list_grants(KeyId=key["KeyId"])["Grants"], [])


def other_keys(kms):
    """Keys that are not symmetric, imported ones, and those of several regions."""
    def make(**kw):
        return kms.create_key(**kw)["KeyMetadata"]["KeyId"]

    rsa = make(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    alg = "RSASSA_PSS_SHA_256"
    signed = kms.sign(KeyId=rsa, Message=b"m", SigningAlgorithm=alg)
    equal("signature", kms.verify(KeyId=rsa, Message=b"m", Signature=signed["Signature"], SigningAlgorithm=alg)["SignatureValid"], True)
    try:
        kms.verify(KeyId=rsa, Message=b"n", Signature=signed["Signature"], SigningAlgorithm=alg)
        equal("another message", "verified", "refused")
    except kms.exceptions.KMSInvalidSignatureException as e:
        equal("no text", e.response["Error"].get("Message", ""), "")
    equal("public key", kms.get_public_key(KeyId=rsa)["KeyUsage"], "SIGN_VERIFY")
    enc = make(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    blob = kms.encrypt(KeyId=enc, Plaintext=b"p", EncryptionAlgorithm="RSAES_OAEP_SHA_256")["CiphertextBlob"]
    equal("RSA", kms.decrypt(KeyId=enc, CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")["Plaintext"], b"p")
    if known(kms, "generate_mac"):
        mac = make(KeySpec="HMAC_512", KeyUsage="GENERATE_VERIFY_MAC")
        m = kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_512")["Mac"]
        equal("MAC", kms.verify_mac(KeyId=mac, Message=b"m", Mac=m, MacAlgorithm="HMAC_SHA_512")["MacValid"], True)
    if known(kms, "derive_shared_secret"):
        a, b = (make(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT") for _ in range(2))
        secret = [kms.derive_shared_secret(KeyId=x, KeyAgreementAlgorithm="ECDH", PublicKey=kms.get_public_key(KeyId=y)["PublicKey"])["SharedSecret"]
                  for x, y in ((a, b), (b, a))]
        equal("shared secret", secret[0] == secret[1] and len(secret[0]), 48)
    sym = make()
    pair = kms.generate_data_key_pair(KeyId=sym, KeyPairSpec="ECC_NIST_P256")
    equal("pair", kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"], pair["PrivateKeyPlaintext"])
    equal("no plaintext", "PrivateKeyPlaintext" in kms.generate_data_key_pair_without_plaintext(KeyId=sym, KeyPairSpec="RSA_2048"), False)

    ext = make(Origin="EXTERNAL")
    p = kms.get_parameters_for_import(KeyId=ext, WrappingAlgorithm="RSAES_OAEP_SHA_1", WrappingKeySpec="RSA_2048")
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding
    except ImportError:
        print("skipped, without the cryptography package: import_key_material")
    else:
        sha1 = hashes.SHA1()
        wrapped = serialization.load_der_public_key(p["PublicKey"]).encrypt(os.urandom(32), padding.OAEP(padding.MGF1(sha1), sha1, None))
        kms.import_key_material(KeyId=ext, ImportToken=p["ImportToken"], EncryptedKeyMaterial=wrapped, ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
        equal("imported", kms.describe_key(KeyId=ext)["KeyMetadata"]["KeyState"], "Enabled")
    kms.delete_imported_key_material(KeyId=ext)
    equal("deleted", kms.describe_key(KeyId=ext)["KeyMetadata"]["KeyState"], "PendingImport")

    there = client("kms", region_name="eu-central-1")
    mrk = make(MultiRegion=True)
    kms.replicate_key(KeyId=mrk, ReplicaRegion="eu-central-1")
    blob = kms.encrypt(KeyId=mrk, Plaintext=b"p")["CiphertextBlob"]
    equal("other region", there.decrypt(CiphertextBlob=blob)["Plaintext"], b"p")
    kms.update_primary_region(KeyId=mrk, PrimaryRegion="eu-central-1")
    equal("primary", there.describe_key(KeyId=mrk)["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"], "PRIMARY")


def sessions(iam, sts):
    """Users, roles and what STS gives them."""
    def document(*statements):
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    name = f"u{uuid.uuid4().hex[:12]}"
    user = iam.create_user(UserName=name)["User"]["Arn"]
    allow = {"Effect": "Allow", "Action": ["secretsmanager:ListSecrets", "sts:GetFederationToken", "sts:GetAccessKeyInfo"], "Resource": "*"}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(allow))
    trust = document({"Effect": "Allow", "Principal": {"AWS": user}, "Action": ["sts:AssumeRole", "sts:TagSession"]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    own = client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    def by(credentials, service="sts"):
        return client(service, aws_access_key_id=credentials["AccessKeyId"], aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=credentials["SessionToken"])

    account = own.get_caller_identity()["Account"]
    assumed = own.assume_role(RoleArn=role, RoleSessionName="walk", Tags=[{"Key": "a", "Value": "b"}], TransitiveTagKeys=["a"])
    equal("assumed", by(assumed["Credentials"]).get_caller_identity()["Arn"], f"arn:aws:sts::{account}:assumed-role/{name}/walk")
    equal("packed", assumed["PackedPolicySize"] > 0, True)
    refused("AccessDenied", sts.assume_role, RoleArn=role, RoleSessionName="walk")  # by the root
    session = own.get_session_token(DurationSeconds=900)["Credentials"]
    equal("session", by(session).get_caller_identity()["Arn"], user)
    by(session, "secretsmanager").list_secrets()
    refused("InvalidClientTokenId", by(session, "iam").list_users)
    federated = own.get_federation_token(Name="walker", Policy=document(allow))
    equal("federated", by(federated["Credentials"]).get_caller_identity()["UserId"], f"{account}:walker")
    by(federated["Credentials"], "secretsmanager").list_secrets()
    equal("account", own.get_access_key_info(AccessKeyId=key["AccessKeyId"])["Account"], account)
    refused("InvalidAuthorizationMessageException", sts.decode_authorization_message, EncodedMessage="x")
    refused("InvalidIdentityToken", sts.assume_role_with_web_identity, RoleArn=role, RoleSessionName="walk", WebIdentityToken="x.y.z")
    refused("InvalidIdentityToken", sts.assume_role_with_saml, RoleArn=role, PrincipalArn=f"arn:aws:iam::{account}:saml-provider/p", SAMLAssertion="PGEvPg==")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    refused("InvalidClientTokenId", by(session).get_caller_identity)


def totp(seed, off):
    """The code some steps from now (RFC 6238)."""
    h = hmac.new(base64.b32decode(seed), struct.pack(">q", int(time.time()) // 30 + off), "sha1").digest()
    return "%06d" % ((struct.unpack_from(">I", h, h[19] & 15)[0] & 0x7FFFFFFF) % 1000000)


def identities(iam):
    me = iam.get_user()["User"]["Arn"].removesuffix(":root")
    account = me.split(":")[4]
    admin = "arn:aws:iam::aws:policy/AdministratorAccess"
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"{me}:root"}, "Action": "sts:AssumeRole"}]}
    for i in range(5):
        iam.create_user(UserName=f"u{i}", Path="/b/", Tags=[{"Key": "team", "Value": "ä"}])
    pages = iam.get_paginator("list_users").paginate(PathPrefix="/b/", PaginationConfig={"PageSize": 2})
    equal("users", [u["UserName"] for p in pages for u in p["Users"]], [f"u{i}" for i in range(5)])
    user = iam.get_user(UserName="u0")["User"]
    equal("user", (user["Arn"], user["Tags"], "PermissionsBoundary" in user), (f"{me}:user/b/u0", [{"Key": "team", "Value": "ä"}], False))
    iam.put_user_permissions_boundary(UserName="u0", PermissionsBoundary=admin)
    equal("boundary", iam.get_user(UserName="u0")["User"]["PermissionsBoundary"],
          {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": admin})
    iam.delete_user_permissions_boundary(UserName="u0")
    iam.tag_user(UserName="u0", Tags=[{"Key": "a", "Value": ""}])
    iam.untag_user(UserName="u0", TagKeys=["TEAM"])
    equal("user tags", iam.list_user_tags(UserName="u0")["Tags"], [{"Key": "a", "Value": ""}])
    iam.update_user(UserName="u0", NewUserName="v0")
    refused("EntityAlreadyExists", iam.create_user, UserName="V0")
    try:
        iam.get_user(UserName="u0")
    except iam.exceptions.NoSuchEntityException as e:
        equal("message", e.response["Error"]["Message"], "The user with name u0 cannot be found.")

    key = iam.create_access_key(UserName="v0")["AccessKey"]
    sts = client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    equal("the key's user", sts.get_caller_identity()["Arn"], f"{me}:user/b/v0")
    equal("last use", iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]["ServiceName"], "sts")
    iam.update_access_key(UserName="v0", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    refused("InvalidClientTokenId", sts.get_caller_identity)
    equal("keys", [k["Status"] for k in iam.list_access_keys(UserName="v0")["AccessKeyMetadata"]], ["Inactive"])
    iam.delete_access_key(UserName="v0", AccessKeyId=key["AccessKeyId"])

    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="v0")
    equal("members", [u["UserName"] for u in iam.get_group(GroupName="g")["Users"]], ["v0"])
    equal("groups of the user", [g["GroupName"] for g in iam.list_groups_for_user(UserName="v0")["Groups"]], ["g"])
    iam.update_group(GroupName="g", NewPath="/b/")
    equal("groups", [g["Arn"] for g in iam.list_groups(PathPrefix="/b/")["Groups"]], [f"{me}:group/b/g"])
    refused("DeleteConflict", iam.delete_group, GroupName="g")
    iam.remove_user_from_group(GroupName="g", UserName="v0")
    iam.delete_group(GroupName="g")

    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust), PermissionsBoundary=admin, Description="d")
    role = iam.get_role(RoleName="r")["Role"]
    equal("role", (role["AssumeRolePolicyDocument"], role["MaxSessionDuration"], role["RoleLastUsed"]), (trust, 3600, {}))
    equal("roles", [r["RoleName"] for r in iam.list_roles()["Roles"]], ["r"])
    iam.update_role(RoleName="r", MaxSessionDuration=7200)
    equal("description", iam.update_role_description(RoleName="r", Description="e")["Role"]["Description"], "e")
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=json.dumps(trust).replace(f"{me}:root", account))
    equal("trust", iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"], trust)
    iam.delete_role_permissions_boundary(RoleName="r")
    iam.put_role_permissions_boundary(RoleName="r", PermissionsBoundary=admin)
    iam.tag_role(RoleName="r", Tags=[{"Key": "a", "Value": "1"}])
    equal("role tags", iam.list_role_tags(RoleName="r")["Tags"], [{"Key": "a", "Value": "1"}])
    iam.untag_role(RoleName="r", TagKeys=["a"])
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    equal("profile", iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]["Roles"][0]["Arn"], f"{me}:role/r")
    equal("profiles", [p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]], ["p"])
    equal("profiles of the role", [p["InstanceProfileName"] for p in iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]], ["p"])
    iam.tag_instance_profile(InstanceProfileName="p", Tags=[{"Key": "a", "Value": "1"}])
    equal("profile tags", iam.list_instance_profile_tags(InstanceProfileName="p")["Tags"], [{"Key": "a", "Value": "1"}])
    iam.untag_instance_profile(InstanceProfileName="p", TagKeys=["a"])
    refused("DeleteConflict", iam.delete_role, RoleName="r")
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    iam.delete_role(RoleName="r")
    linked = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="b")["Role"]["RoleName"]
    refused("UnmodifiableEntity", iam.delete_role, RoleName=linked)
    task = iam.delete_service_linked_role(RoleName=linked)["DeletionTaskId"]
    equal("deletion", iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"], "SUCCEEDED")

    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    equal("picture", device["QRCodePNG"][:4], b"\x89PNG")
    iam.enable_mfa_device(UserName="v0", SerialNumber=serial, AuthenticationCode1=totp(seed, -1), AuthenticationCode2=totp(seed, 0))
    refused("InvalidAuthenticationCode", iam.resync_mfa_device, UserName="v0", SerialNumber=serial, AuthenticationCode1=totp(seed, -1), AuthenticationCode2=totp(seed, 0))
    iam.resync_mfa_device(UserName="v0", SerialNumber=serial, AuthenticationCode1=totp(seed, 5), AuthenticationCode2=totp(seed, 6))
    equal("devices", [d["SerialNumber"] for d in iam.list_mfa_devices(UserName="v0")["MFADevices"]], [serial])
    equal("virtual devices", [d["User"]["UserName"] for d in iam.list_virtual_mfa_devices()["VirtualMFADevices"]], ["v0"])
    if known(iam, "get_mfa_device"):
        equal("device", iam.get_mfa_device(UserName="v0", SerialNumber=serial)["UserName"], "v0")
    iam.tag_mfa_device(SerialNumber=serial, Tags=[{"Key": "a", "Value": "1"}])
    equal("device tags", iam.list_mfa_device_tags(SerialNumber=serial)["Tags"], [{"Key": "a", "Value": "1"}])
    iam.untag_mfa_device(SerialNumber=serial, TagKeys=["a"])
    iam.deactivate_mfa_device(UserName="v0", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)

    iam.create_account_alias(AccountAlias="b-example")
    equal("aliases", iam.list_account_aliases()["AccountAliases"], ["b-example"])
    iam.delete_account_alias(AccountAlias="b-example")
    iam.update_account_password_policy(MinimumPasswordLength=14, RequireSymbols=True)
    equal("password policy", iam.get_account_password_policy()["PasswordPolicy"]["MinimumPasswordLength"], 14)
    iam.delete_account_password_policy()
    equal("summary", iam.get_account_summary()["SummaryMap"]["Users"], 5)
    for name in ["v0", "u1", "u2", "u3", "u4"]:
        iam.delete_user(UserName=name)
    equal("summary again", iam.get_account_summary()["SummaryMap"]["Users"], 0)


def policies(iam):
    me = iam.get_user()["User"]["Arn"].removesuffix(":root")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": "*",
                                                        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blå"}}}]}
    text = json.dumps(document, ensure_ascii=False)
    arns = [iam.create_policy(PolicyName=f"p{i}", Path="/b/", PolicyDocument=text)["Policy"]["Arn"] for i in range(3)]
    equal("ARN", arns[0], f"{me}:policy/b/p0")
    pages = iam.get_paginator("list_policies").paginate(Scope="Local", PaginationConfig={"PageSize": 2})
    equal("policies", [p["PolicyName"] for page in pages for p in page["Policies"]], ["p0", "p1", "p2"])
    # botocore decodes documents: what comes back is the document again.
    equal("document", iam.get_policy_version(PolicyArn=arns[0], VersionId="v1")["PolicyVersion"]["Document"], document)
    iam.create_policy_version(PolicyArn=arns[0], PolicyDocument=text, SetAsDefault=True)
    equal("versions", [(v["VersionId"], v["IsDefaultVersion"]) for v in iam.list_policy_versions(PolicyArn=arns[0])["Versions"]], [("v2", True), ("v1", False)])
    iam.create_user(UserName="ana", Tags=[{"Key": "team", "Value": "blå"}])
    iam.put_user_policy(UserName="ana", PolicyName="own", PolicyDocument=text)
    equal("inline", iam.get_user_policy(UserName="ana", PolicyName="own")["PolicyDocument"], document)
    for arn in arns:
        iam.attach_user_policy(UserName="ana", PolicyArn=arn)
    pages = iam.get_paginator("list_attached_user_policies").paginate(UserName="ana", PaginationConfig={"PageSize": 2})
    equal("attached", [p["PolicyArn"] for page in pages for p in page["AttachedPolicies"]], arns)
    equal("entities", [u["UserName"] for u in iam.list_entities_for_policy(PolicyArn=arns[0])["PolicyUsers"]], ["ana"])
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=f"{me}:user/ana", ActionNames=["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], PaginationConfig={"PageSize": 1})
    equal("simulated", [r["EvalDecision"] for page in pages for r in page["EvaluationResults"]], ["allowed", "implicitDeny"])
    result = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=["secretsmanager:GetSecretValue"], ContextEntries=[
        {"ContextKeyName": "aws:PrincipalTag/team", "ContextKeyType": "string", "ContextKeyValues": ["rød"]}])["EvaluationResults"][0]
    equal("custom", (result["EvalDecision"], result["MissingContextValues"]), ("implicitDeny", []))
    equal("context keys", iam.get_context_keys_for_principal_policy(PolicySourceArn=f"{me}:user/ana")["ContextKeyNames"], ["aws:PrincipalTag/team"])
    pages = iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2})
    details = [d for page in pages for kind in ("UserDetailList", "Policies") for d in page[kind]]
    equal("details", details[0]["UserPolicyList"][0]["PolicyDocument"], document)
    equal("details of a policy", details[1]["PolicyVersionList"][0]["Document"], document)
    refused("DeleteConflict", iam.delete_policy, PolicyArn=arns[0])
    refused("NoSuchEntity", iam.attach_user_policy, UserName="ana", PolicyArn=f"{me}:policy/none")
    refused("MalformedPolicyDocument", iam.put_user_policy, UserName="ana", PolicyName="x", PolicyDocument="{")
    for _ in range(600):
        if iam.generate_credential_report()["State"] == "COMPLETE":
            break
        time.sleep(0.1)
    report = iam.get_credential_report()
    equal("report", report["Content"].decode().split("\n")[-1].split(",")[:2], ["ana", f"{me}:user/ana"])
    for arn in arns:
        iam.detach_user_policy(UserName="ana", PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arns[0], VersionId="v1")
    for arn in arns:
        iam.delete_policy(PolicyArn=arn)
    iam.delete_user_policy(UserName="ana", PolicyName="own")
    iam.delete_user(UserName="ana")
    idp = iam.create_open_id_connect_provider(Url="https://issuer.example", ClientIDList=["a"])["OpenIDConnectProviderArn"]
    equal("provider", iam.get_open_id_connect_provider(OpenIDConnectProviderArn=idp)["Url"], "issuer.example")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=idp)
    refused("InvalidInput", iam.create_saml_provider, Name="x", SAMLMetadataDocument="x" * 1000)


def logs(cw):
    now = int(time.time() * 1000)
    cw.create_log_group(logGroupName="/b/app", tags={"team": "blå"})
    for i in range(4):
        cw.create_log_group(logGroupName=f"/b/page/{i}")
    refused("ResourceAlreadyExistsException", cw.create_log_group, logGroupName="/b/app")
    refused("InvalidParameterException", cw.create_log_group, logGroupName="/b/kms", kmsKeyId="alias/x")
    pages = cw.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/b/page/", PaginationConfig={"PageSize": 3})
    equal("groups", [g["logGroupName"] for p in pages for g in p["logGroups"]], [f"/b/page/{i}" for i in range(4)])
    if known(cw, "list_log_groups"):
        equal("list", [g["logGroupName"] for g in cw.list_log_groups(logGroupNamePattern="b/app")["logGroups"]], ["/b/app"])
    for stream in ["one", "two"]:
        cw.create_log_stream(logGroupName="/b/app", logStreamName=stream)
    cw.put_log_events(logGroupName="/b/app", logStreamName="one", logEvents=[{"timestamp": now + i, "message": f"blå {i}"} for i in range(6)])
    put = cw.put_log_events(logGroupName="/b/app", logStreamName="two", logEvents=[
        {"timestamp": 1, "message": "old"}, {"timestamp": now + 3, "message": '{"level": "error"}'}])
    equal("rejected", put["rejectedLogEventsInfo"], {"tooOldLogEventEndIndex": 1})
    refused("InvalidParameterException", cw.put_log_events, logGroupName="/b/app", logStreamName="one",
            logEvents=[{"timestamp": now + 1, "message": "b"}, {"timestamp": now, "message": "a"}])
    pages = cw.get_paginator("describe_log_streams").paginate(logGroupName="/b/app", orderBy="LastEventTime", descending=True, PaginationConfig={"PageSize": 1})
    equal("streams", [s["logStreamName"] for p in pages for s in p["logStreams"]], ["one", "two"])
    one = {"logGroupName": "/b/app", "logStreamName": "one"}
    got = cw.get_log_events(limit=4, **one)
    equal("tail", [e["message"] for e in got["events"]], [f"blå {i}" for i in range(2, 6)])
    equal("forward", cw.get_log_events(nextToken=got["nextForwardToken"], **one)["nextForwardToken"], got["nextForwardToken"])
    back = cw.get_log_events(nextToken=got["nextBackwardToken"], **one)
    equal("back", [e["message"] for e in back["events"]], ["blå 0", "blå 1"])
    refused("InvalidParameterException", cw.get_log_events, nextToken="f/x", **one)
    pages = cw.get_paginator("filter_log_events").paginate(logGroupName="/b/app", filterPattern="blå", PaginationConfig={"PageSize": 4})
    equal("filtered", [e["message"] for p in pages for e in p["events"]], [f"blå {i}" for i in range(6)])
    found = cw.filter_log_events(logGroupName="/b/app", filterPattern='{ $.level = "error" }', startTime=now, endTime=now + 3)
    equal("found", [(e["logStreamName"], e["timestamp"]) for e in found["events"]], [("two", now + 3)])
    cw.put_retention_policy(logGroupName="/b/app", retentionInDays=7)
    group = cw.describe_log_groups(logGroupNamePrefix="/b/app")["logGroups"][0]
    equal("retention", (group["retentionInDays"], group["storedBytes"]), (7, 6 * (6 + 26) + 18 + 26))
    cw.delete_retention_policy(logGroupName="/b/app")
    arn = group["arn"].removesuffix(":*")
    if known(cw, "tag_resource"):
        cw.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
        cw.untag_resource(resourceArn=arn, tagKeys=["a"])
        equal("tags", cw.list_tags_for_resource(resourceArn=arn)["tags"], {"team": "blå", "b": "2"})
    cw.tag_log_group(logGroupName="/b/app", tags={"c": "3"})
    cw.untag_log_group(logGroupName="/b/app", tags=["b", "c"])
    equal("tags", cw.list_tags_log_group(logGroupName="/b/app")["tags"], {"team": "blå"})
    if known(cw, "put_log_group_deletion_protection"):
        cw.put_log_group_deletion_protection(logGroupIdentifier=arn, deletionProtectionEnabled=True)
        refused("ValidationException", cw.delete_log_group, logGroupName="/b/app")
        cw.put_log_group_deletion_protection(logGroupIdentifier=arn, deletionProtectionEnabled=False)
    cw.delete_log_stream(**one)
    refused("ResourceNotFoundException", cw.get_log_events, **one)
    cw.delete_log_group(logGroupName="/b/app")
    try:
        cw.delete_log_group(logGroupName="/b/app")
    except cw.exceptions.ResourceNotFoundException as e:
        equal("message", e.response["Error"]["Message"], "The specified log group does not exist.")


secrets(client("secretsmanager"))
secrets(client("secretsmanager", region_name="eu-central-1"))  # a name space of its own
keys(client("kms"))
identities(client("iam"))
policies(client("iam"))
other_keys(client("kms"))
sessions(client("iam"), client("sts"))
logs(client("logs"))
if failures:
    sys.exit(f"{failures} failures")
print("ok, boto3", boto3.__version__)
