"""Walks boto3 through every served operation of Secrets Manager, IAM, STS, Lambda and
CloudWatch Logs and the main ones of KMS.

Takes the endpoint, keys and CA from the environment that `coffer env` sets. The
endpoint is passed explicitly too: boto3 before 1.28 (Debian 12 has 1.26) does
not know AWS_ENDPOINT_URL. Operations that the installed version does not know
are skipped with a message. Values are never printed. With FUNCTIONS=off in the
environment, for machines that run no functions of users, none is invoked.
"""

import base64
import datetime
import hashlib
import hmac
import io
import json
import os
import ssl
import struct
import sys
import time
import urllib.request
import uuid
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

failures = 0
run = os.environ.get("FUNCTIONS") != "off"


def client(service, **kw):
    config = Config(retries={"max_attempts": 0})
    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=config, **kw)


def equal(what, got, want):
    global failures
    if got != want:
        failures += 1
        print(f"FAIL {what}: not as expected")


def refused(code, call, text=None, **kw):
    """call fails with this error code and, if one is given, text."""
    global failures
    try:
        call(**kw)
    except ClientError as e:
        got = e.response["Error"]
        if got["Code"] == code and text in (None, got["Message"]):
            return
        print(f"     got {got['Code']}: {got['Message']}")
    failures += 1
    print(f"FAIL want {code}: {text}")


def eventually(what, call):
    """Waits until call gives something, and returns that."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        got = call()
        if got:
            return got
        time.sleep(0.05)
    sys.exit(f"FAIL {what}: never")


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


LATEST_REVISION = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"

GREETER = """
import json, os, greeting

def handler(event, context):
    print("event", json.dumps(event, sort_keys=True))
    if "fail" in event:
        raise ValueError(event["fail"])
    return {"greeting": greeting.text, "stage": os.environ.get("STAGE"), "version": context.function_version,
            "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
            "client": context.client_context and context.client_context.custom}
"""


def package(**files):
    """A zip file of Python modules."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in files.items():
            z.writestr(f"{name.replace('__', '/')}.py", text)
    return out.getvalue()


def digest(code):
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def download(location):
    """What a link to code gives to a client without credentials."""
    with urllib.request.urlopen(location, context=ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])) as answer:
        return answer.read()


def function_role(iam, name, *statements):
    """A role that Lambda can assume; its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return role


def functions(iam, fn, cw):
    role = function_role(iam, "greeter")
    account, region = role.split(":")[4], fn.meta.region_name
    arn = f"arn:aws:lambda:{region}:{account}:function:greet"
    none = f"Function not found: {arn}-none"
    code = package(index=GREETER, greeting="text = 'hei'")
    make = dict(FunctionName="greet", Role=role, Runtime="python3.11", Handler="index.handler", Code={"ZipFile": code})

    refused("InvalidParameterValueException", fn.create_function, "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            FunctionName="greet", Role=role, Code={"ZipFile": code})
    refused("InvalidParameterValueException", fn.create_function, "The role defined for the function cannot be assumed by Lambda.", **{**make, "Role": role + "-none"})
    refused("InvalidParameterValueException", fn.create_function, "Could not unzip uploaded file. Please check your file, then try to upload again.", **{**make, "Code": {"ZipFile": b"PK"}})
    made = fn.create_function(Environment={"Variables": {"STAGE": "test"}}, Tags={"team": "blå"}, Description="greets", **make)
    equal("created", {k: made[k] for k in ("FunctionName", "FunctionArn", "Role", "Runtime", "Handler", "CodeSize", "CodeSha256", "Description", "Timeout", "MemorySize", "Version", "PackageType")},
          {"FunctionName": "greet", "FunctionArn": arn, "Role": role, "Runtime": "python3.11", "Handler": "index.handler", "CodeSize": len(code), "CodeSha256": digest(code),
           "Description": "greets", "Timeout": 3, "MemorySize": 128, "Version": "$LATEST", "PackageType": "Zip"})
    equal("environment", made["Environment"], {"Variables": {"STAGE": "test"}})
    for name in ("greet", "SecretsManagerRotationTemplate"):  # the second comes with Coffer
        refused("ResourceConflictException", fn.create_function, f"Function already exist: {name}", **{**make, "FunctionName": name})
    for waiter in ("function_exists", "function_active", "function_updated", "function_active_v2", "function_updated_v2"):
        if waiter in fn.waiter_names:
            fn.get_waiter(waiter).wait(FunctionName="greet", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    try:
        fn.get_waiter("function_exists").wait(FunctionName="greet-none", WaiterConfig={"Delay": 0, "MaxAttempts": 2})
        equal("a function that does not exist", "waited for", "never there")
    except WaiterError as e:
        equal("waiter", e.last_response["Error"]["Code"], "ResourceNotFoundException")

    whole = fn.get_function(FunctionName=arn)
    equal("function", (whole["Configuration"]["FunctionArn"], whole["Configuration"]["State"], whole["Configuration"]["LastUpdateStatus"], whole["Tags"], "Concurrency" in whole),
          (arn, "Active", "Successful", {"team": "blå"}, False))
    equal("code", download(whole["Code"]["Location"]), code)
    refused("ResourceNotFoundException", fn.get_function, none, FunctionName="greet-none")
    refused("ResourceNotFoundException", fn.get_function_configuration, none, FunctionName="greet-none")
    equal("by part of its ARN", fn.get_function_configuration(FunctionName=f"{account}:greet")["RevisionId"], made["RevisionId"])
    if known(fn, "get_runtime_management_config"):
        equal("runtime management", fn.get_runtime_management_config(FunctionName="greet")["UpdateRuntimeOn"], "Auto")
    equal("code signing", fn.get_function_code_signing_config(FunctionName="greet")["CodeSigningConfigArn"], "")
    if known(fn, "get_function_recursion_config"):
        equal("recursion", fn.get_function_recursion_config(FunctionName="greet")["RecursiveLoop"], "Allow")
    for i in range(4):
        fn.create_function(**{**make, "FunctionName": f"page{i}"})
    pages = list(fn.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    equal("functions", [[f["FunctionName"] for f in p["Functions"]] for p in pages], [["greet", "page0"], ["page1", "page2"], ["page3"]])
    equal("usage", fn.get_account_settings()["AccountUsage"], {"TotalCodeSize": 5 * len(code), "FunctionCount": 5})
    for i in range(4):
        fn.delete_function(FunctionName=f"page{i}")

    invocations(fn, cw, arn)
    versions(fn, arn, code)
    layers(fn, account, region)
    permissions(fn, arn, account)
    settings(fn, arn)

    fn.delete_function(FunctionName="greet")
    refused("ResourceNotFoundException", fn.delete_function, f"Function not found: {arn}", FunctionName="greet")
    refused("ResourceNotFoundException", fn.invoke, f"Function not found: {arn}", FunctionName="greet")
    equal("no functions", fn.list_functions()["Functions"], [])
    equal("no function", fn.get_account_settings()["AccountUsage"]["FunctionCount"], 0)  # versions go within a minute


def invocations(fn, cw, arn):
    equal("dry run", fn.invoke(FunctionName="greet", InvocationType="DryRun")["StatusCode"], 204)
    refused("ResourceNotFoundException", fn.invoke, f"Function not found: {arn}:7", FunctionName="greet", Qualifier="7")
    refused("InvalidRequestContentException", fn.invoke, "Could not parse request body into json: the payload is not a JSON text.", FunctionName="greet", Payload=b"{")
    if not run:
        print("skipped, functions do not run here: invoke")
        return
    context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    answer = fn.invoke(FunctionName="greet", Payload=b'{"n":1}', LogType="Tail", ClientContext=context)
    equal("answered", (answer["StatusCode"], answer["ExecutedVersion"], answer.get("FunctionError")), (200, "$LATEST", None))
    equal("answer", json.load(answer["Payload"]), {"greeting": "hei", "stage": "test", "version": "$LATEST", "arn": arn, "memory": "128", "client": {"a": "b"}})
    request = answer["ResponseMetadata"]["RequestId"]
    log = base64.b64decode(answer["LogResult"]).decode().splitlines()
    equal("log tail", (log[0], log[1], log[2], log[3].startswith(f"REPORT RequestId: {request}\t")),
          (f"START RequestId: {request} Version: $LATEST", 'event {"n": 1}', f"END RequestId: {request}", True))
    failed = fn.invoke(FunctionName="greet", Payload=b'{"fail":"no"}')
    equal("failed", (failed["StatusCode"], failed["FunctionError"], "LogResult" in failed), (200, "Unhandled", False))
    error = json.load(failed["Payload"])
    equal("error", (error["errorType"], error["errorMessage"]), ("ValueError", "no"))
    equal("event", fn.invoke(FunctionName="greet", InvocationType="Event", Payload=b'{"n":2}')["StatusCode"], 202)

    def logged(pattern):
        try:
            return cw.filter_log_events(logGroupName="/aws/lambda/greet", filterPattern=pattern)["events"]
        except cw.exceptions.ResourceNotFoundException:
            return []
    found = eventually("the event's log", lambda: logged('"\\"n\\": 2"'))
    equal("its event", [e["message"].rstrip("\n") for e in found], ['event {"n": 2}'])
    equal("the first one's", len(eventually("the log", lambda: logged(f'"{request}"'))), 3)
    stream = cw.describe_log_streams(logGroupName="/aws/lambda/greet")["logStreams"][0]["logStreamName"]
    equal("stream", "[$LATEST]" in stream, True)
    cw.delete_log_group(logGroupName="/aws/lambda/greet")


def versions(fn, arn, code):
    refused("PreconditionFailedException", fn.publish_version, LATEST_REVISION, FunctionName="greet", RevisionId=str(uuid.uuid4()))
    first = fn.publish_version(FunctionName="greet", CodeSha256=digest(code), Description="one")
    equal("version", (first["Version"], first["FunctionArn"], first["Description"]), ("1", arn + ":1", "one"))
    equal("nothing changed", fn.publish_version(FunctionName="greet")["Version"], "1")
    newer = package(index=GREETER, greeting="text = 'hello'")
    refused("InvalidParameterValueException", fn.publish_version,
            f"CodeSHA256 ({digest(newer)}) is different from current CodeSHA256 in $LATEST ({digest(code)}). Please try again with the CodeSHA256 in $LATEST.",
            FunctionName="greet", CodeSha256=digest(newer))
    equal("a dry run changes nothing", fn.update_function_code(FunctionName="greet", ZipFile=newer, DryRun=True)["CodeSha256"], digest(newer))
    equal("nothing changed", fn.get_function_configuration(FunctionName="greet")["CodeSha256"], digest(code))
    changed = fn.update_function_code(FunctionName="greet", ZipFile=newer)
    equal("new code", (changed["CodeSha256"], changed["LastUpdateStatus"]), (digest(newer), "Successful"))
    fn.get_waiter("function_updated").wait(FunctionName="greet")
    refused("PreconditionFailedException", fn.update_function_configuration, LATEST_REVISION, FunctionName="greet", MemorySize=256, RevisionId=first["RevisionId"])
    changed = fn.update_function_configuration(FunctionName="greet", MemorySize=256, Timeout=9, Environment={"Variables": {"STAGE": "prod"}}, RevisionId=changed["RevisionId"])
    equal("new configuration", (changed["MemorySize"], changed["Timeout"], changed["Environment"]["Variables"], changed["Description"]), (256, 9, {"STAGE": "prod"}, "greets"))
    equal("published with new code", fn.update_function_code(FunctionName="greet", ZipFile=newer, Publish=True)["Version"], "2")
    waiter = "published_version_active"
    if waiter in fn.waiter_names:
        fn.get_waiter(waiter).wait(FunctionName="greet", Qualifier="2")
    pages = list(fn.get_paginator("list_versions_by_function").paginate(FunctionName="greet", PaginationConfig={"PageSize": 2}))
    equal("versions", [[(v["Version"], v["CodeSha256"]) for v in p["Versions"]] for p in pages],
          [[("$LATEST", digest(newer)), ("1", digest(code))], [("2", digest(newer))]])
    equal("all versions", [f["FunctionArn"] for f in fn.list_functions(FunctionVersion="ALL")["Functions"]], [arn + ":$LATEST", arn + ":1", arn + ":2"])

    alias = fn.create_alias(FunctionName="greet", Name="live", FunctionVersion="1", Description="d")
    equal("alias", (alias["AliasArn"], alias["FunctionVersion"]), (arn + ":live", "1"))
    refused("ResourceConflictException", fn.create_alias, f"Alias already exists: {arn}:live", FunctionName="greet", Name="live", FunctionVersion="1")
    refused("ResourceNotFoundException", fn.create_alias, f"Function not found: {arn}:9", FunctionName="greet", Name="next", FunctionVersion="9")
    fn.create_alias(FunctionName="greet", Name="next", FunctionVersion="2")
    pages = list(fn.get_paginator("list_aliases").paginate(FunctionName="greet", PaginationConfig={"PageSize": 1}))
    equal("aliases", [[(a["Name"], a["FunctionVersion"]) for a in p["Aliases"]] for p in pages], [[("live", "1")], [("next", "2")]])
    if run:
        for qualifier, version, want in (("live", "1", ("hei", "test", "1")), ("next", "2", ("hello", "prod", "2"))):
            answer = fn.invoke(FunctionName="greet", Qualifier=qualifier)
            got = json.load(answer["Payload"])
            equal(qualifier, (answer["ExecutedVersion"], got["greeting"], got["stage"], got["version"], got["arn"]), (version, *want, f"{arn}:{qualifier}"))
    fn.update_alias(FunctionName="greet", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    got = fn.get_alias(FunctionName="greet", Name="live")
    equal("routes", (got["FunctionVersion"], got["RoutingConfig"], got["Description"]), ("1", {"AdditionalVersionWeights": {"2": 1.0}}, "d"))
    if run:
        equal("routed", fn.invoke(FunctionName="greet", Qualifier="live")["ExecutedVersion"], "2")
    refused("ResourceConflictException", fn.delete_function, "Unable to delete version because the following aliases reference it: [live]", FunctionName="greet", Qualifier="1")
    fn.update_alias(FunctionName="greet", Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
    fn.delete_function(FunctionName="greet", Qualifier="1")
    refused("ResourceNotFoundException", fn.get_function, f"Function not found: {arn}:1", FunctionName="greet", Qualifier="1")
    fn.delete_alias(FunctionName="greet", Name="next")
    refused("ResourceNotFoundException", fn.get_alias, f"Cannot find alias arn: {arn}:next", FunctionName="greet", Name="next")


def layers(fn, account, region):
    """The layer has the module that the new code lacks."""
    arn = f"arn:aws:lambda:{region}:{account}:layer:words"
    code = package(python__greeting="text = 'hallo'")
    for n in (1, 2):
        made = fn.publish_layer_version(LayerName="words", Description=f"v{n}", Content={"ZipFile": code}, CompatibleRuntimes=["python3.11"], LicenseInfo="MIT")
        equal("layer", (made["LayerArn"], made["LayerVersionArn"], made["Version"], made["Content"]["CodeSha256"]), (arn, f"{arn}:{n}", n, digest(code)))
    got = fn.get_layer_version(LayerName="words", VersionNumber=1)
    equal("layer version", (got["Description"], got["CompatibleRuntimes"], got["LicenseInfo"], got["Content"]["CodeSize"]), ("v1", ["python3.11"], "MIT", len(code)))
    equal("content", download(got["Content"]["Location"]), code)
    equal("by ARN", fn.get_layer_version_by_arn(Arn=f"{arn}:2")["Version"], 2)
    refused("ResourceNotFoundException", fn.get_layer_version_by_arn, "The resource you requested does not exist.", Arn=f"{arn}:3")
    pages = list(fn.get_paginator("list_layer_versions").paginate(LayerName="words", PaginationConfig={"PageSize": 1}))
    equal("layer versions", [[v["Version"] for v in p["LayerVersions"]] for p in pages if p["LayerVersions"]], [[2], [1]])
    pages = fn.get_paginator("list_layers").paginate(CompatibleRuntime="python3.11")
    equal("layers", [(x["LayerName"], x["LatestMatchingVersion"]["Version"]) for p in pages for x in p["Layers"]], [("words", 2)])
    equal("no layers", fn.list_layers(CompatibleRuntime="nodejs20.x")["Layers"], [])

    refused("ResourceNotFoundException", fn.get_layer_version_policy, "No policy is associated with the given resource.", LayerName="words", VersionNumber=1)
    added = fn.add_layer_version_permission(LayerName="words", VersionNumber=1, StatementId="all", Action="lambda:GetLayerVersion", Principal="*")
    want = {"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion", "Resource": f"{arn}:1"}
    equal("layer statement", json.loads(added["Statement"]), want)
    equal("layer policy", json.loads(fn.get_layer_version_policy(LayerName="words", VersionNumber=1)["Policy"])["Statement"], [want])
    fn.remove_layer_version_permission(LayerName="words", VersionNumber=1, StatementId="all")

    refused("InvalidParameterValueException", fn.update_function_configuration, f"Layer version {arn}:3 does not exist.", FunctionName="greet", Layers=[f"{arn}:3"])
    fn.update_function_code(FunctionName="greet", ZipFile=package(index=GREETER))
    layered = fn.update_function_configuration(FunctionName="greet", Layers=[f"{arn}:2"])
    equal("layers of the function", [x["Arn"] for x in layered["Layers"]], [f"{arn}:2"])
    for n in (1, 2):
        fn.delete_layer_version(LayerName="words", VersionNumber=n)
    equal("no layers", fn.list_layers()["Layers"], [])
    if run:  # with what was deleted
        equal("layered", json.load(fn.invoke(FunctionName="greet")["Payload"])["greeting"], "hallo")


def permissions(fn, arn, account):
    refused("ResourceNotFoundException", fn.get_policy, "The resource you requested does not exist.", FunctionName="greet")
    allow = dict(FunctionName="greet", Qualifier="live", StatementId="rotation", Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com", SourceAccount=account)
    statement = json.loads(fn.add_permission(**allow)["Statement"])
    equal("statement", statement, {"Sid": "rotation", "Effect": "Allow", "Principal": {"Service": "secretsmanager.amazonaws.com"}, "Action": "lambda:InvokeFunction",
                                   "Resource": arn + ":live", "Condition": {"StringEquals": {"AWS:SourceAccount": account}}})
    refused("ResourceConflictException", fn.add_permission, "The statement id (rotation) provided already exists. Please provide a new statement id, or remove the existing statement.", **allow)
    refused("InvalidParameterValueException", fn.add_permission, "The provided principal was invalid. Please check the principal and try again.", **{**allow, "StatementId": "s", "Principal": "nobody"})
    got = fn.get_policy(FunctionName="greet", Qualifier="live")
    equal("policy", json.loads(got["Policy"]), {"Version": "2012-10-17", "Id": "default", "Statement": [statement]})
    refused("ResourceNotFoundException", fn.remove_permission, "Statement none is not found in resource policy.", FunctionName="greet", Qualifier="live", StatementId="none")
    fn.remove_permission(FunctionName="greet", Qualifier="live", StatementId="rotation", RevisionId=got["RevisionId"])
    refused("ResourceNotFoundException", fn.get_policy, "The resource you requested does not exist.", FunctionName="greet", Qualifier="live")


def settings(fn, arn):
    fn.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    fn.untag_resource(Resource=arn, TagKeys=["a"])
    equal("tags", fn.list_tags(Resource=arn)["Tags"], {"team": "blå", "b": "2"})
    refused("ResourceNotFoundException", fn.list_tags, f"Function not found: {arn}-none", Resource=arn + "-none")

    equal("reserved", fn.put_function_concurrency(FunctionName="greet", ReservedConcurrentExecutions=0)["ReservedConcurrentExecutions"], 0)
    equal("concurrency", fn.get_function(FunctionName="greet")["Concurrency"], {"ReservedConcurrentExecutions": 0})
    if run:
        refused("TooManyRequestsException", fn.invoke, "Rate Exceeded.", FunctionName="greet")
    fn.put_function_concurrency(FunctionName="greet", ReservedConcurrentExecutions=100)
    equal("unreserved", fn.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"], 900)
    refused("InvalidParameterValueException", fn.put_function_concurrency,
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].",
            FunctionName="greet", ReservedConcurrentExecutions=901)
    fn.delete_function_concurrency(FunctionName="greet")
    equal("no concurrency", "ReservedConcurrentExecutions" in fn.get_function_concurrency(FunctionName="greet"), False)

    none = f"The function {arn}:$LATEST doesn't have an EventInvokeConfig"
    refused("ResourceNotFoundException", fn.get_function_event_invoke_config, none, FunctionName="greet")
    fn.put_function_event_invoke_config(FunctionName="greet", MaximumRetryAttempts=1)
    fn.update_function_event_invoke_config(FunctionName="greet", MaximumEventAgeInSeconds=60)
    got = fn.get_function_event_invoke_config(FunctionName="greet")
    equal("events", (got["FunctionArn"], got["MaximumRetryAttempts"], got["MaximumEventAgeInSeconds"]), (arn + ":$LATEST", 1, 60))
    fn.put_function_event_invoke_config(FunctionName="greet", Qualifier="live", MaximumRetryAttempts=0)
    pages = list(fn.get_paginator("list_function_event_invoke_configs").paginate(FunctionName="greet", PaginationConfig={"PageSize": 1}))
    equal("events of all", [[c["FunctionArn"] for c in p["FunctionEventInvokeConfigs"]] for p in pages], [[arn + ":$LATEST"], [arn + ":live"]])
    fn.delete_function_event_invoke_config(FunctionName="greet")
    refused("ResourceNotFoundException", fn.delete_function_event_invoke_config, none, FunctionName="greet")


def rotations(iam, fn, sm):
    secret = sm.create_secret(Name="b/rotated", SecretString='{"password":"first","note":"kept"}')["ARN"]
    account, region = secret.split(":")[4], secret.split(":")[3]
    builtin, own = (f"arn:aws:lambda:{region}:{account}:function:{name}" for name in ("SecretsManagerRotationTemplate", "rotate"))
    never = "You can't cancel the rotation of a secret for which rotation was never configured."
    refuses = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."

    def rotated(version, previous):
        def done():
            d = sm.describe_secret(SecretId=secret)
            return d["VersionIdsToStages"].get(version) == ["AWSCURRENT"] and d
        d = eventually("rotated", done)
        equal("labels", d["VersionIdsToStages"], {version: ["AWSCURRENT"], previous: ["AWSPREVIOUS"]})
        return d

    def value(stage="AWSCURRENT"):
        return json.loads(sm.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"])

    first = sm.get_secret_value(SecretId=secret)["VersionId"]
    refused("InvalidRequestException", sm.cancel_rotate_secret, never, SecretId=secret)
    refused("InvalidRequestException", sm.rotate_secret, "No Lambda rotation function ARN is associated with this secret.", SecretId=secret)
    refused("AccessDeniedException", sm.rotate_secret, refuses, SecretId=secret, RotationLambdaARN=own)
    refused("InvalidParameterException", sm.rotate_secret, SecretId=secret, RotationLambdaARN=builtin, RotationRules={"ScheduleExpression": "rate(3 hours)"})
    refused("InvalidParameterException", sm.rotate_secret, SecretId=secret, RotationLambdaARN=builtin, RotationRules={"ScheduleExpression": "rate(5 days)", "AutomaticallyAfterDays": 5})
    equal("nothing was configured", "RotationEnabled" in sm.describe_secret(SecretId=secret), False)

    # A built-in function, by its name alone.
    out = sm.rotate_secret(SecretId=secret, RotationLambdaARN="SecretsManagerRotationTemplate", RotationRules={"ScheduleExpression": "rate(12 hours)", "Duration": "3h"})
    equal("rotates", (out["ARN"], out["Name"]), (secret, "b/rotated"))
    d = rotated(out["VersionId"], first)
    equal("rotation", (d["RotationEnabled"], d["RotationLambdaARN"], d["RotationRules"]["ScheduleExpression"], d["RotationRules"]["Duration"]), (True, builtin, "rate(12 hours)", "3h"))
    dated = "NextRotationDate" in sm.meta.service_model.shape_for("DescribeSecretResponse").members
    if dated:
        equal("the next rotation", 0 < (d["NextRotationDate"] - d["LastRotatedDate"]).total_seconds() <= 15 * 3600, True)
    else:
        print(f"skipped, unknown to boto3 {boto3.__version__}: NextRotationDate")
    equal("previous", value("AWSPREVIOUS"), {"password": "first", "note": "kept"})
    equal("current", (value()["note"], value()["password"] == "first", len(value()["password"])), ("kept", False, 32))
    listed = sm.list_secrets(Filters=[{"Key": "name", "Values": ["b/rotated"]}])["SecretList"][0]
    equal("listed", (listed["RotationEnabled"], listed["RotationLambdaARN"], listed.get("NextRotationDate")), (True, builtin, d.get("NextRotationDate")))

    # Other rules, without a rotation now.
    out = sm.rotate_secret(SecretId=secret, RotateImmediately=False, RotationRules={"ScheduleExpression": "cron(0 8 1 * ? *)"})
    equal("no version", "VersionId" in out, False)
    d = sm.describe_secret(SecretId=secret)
    equal("cron", (d["RotationRules"].get("ScheduleExpression"), d["RotationRules"].get("Duration")), ("cron(0 8 1 * ? *)", None))
    if dated:  # the window's end
        at = d["NextRotationDate"].astimezone(datetime.timezone.utc)
        equal("the next first of a month", (at.day, at.hour, at.minute), (1, 23, 59))
    current = sm.get_secret_value(SecretId=secret)["VersionId"]
    eventually("the test of the function is over", lambda: ["AWSPENDING"] not in sm.describe_secret(SecretId=secret)["VersionIdsToStages"].values())
    equal("cancelled", sm.cancel_rotate_secret(SecretId=secret)["ARN"], secret)
    d = sm.describe_secret(SecretId=secret)
    equal("off", (d["RotationEnabled"], "NextRotationDate" in d, d["RotationLambdaARN"]), (False, False, builtin))

    # A function of one's own.
    with open("rotation_function.py") as f:
        code = package(index=f.read())
    role = function_role(iam, "rotate", {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": secret},
                         {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"})
    fn.create_function(FunctionName="rotate", Role=role, Runtime="python3.11", Handler="index.rotate", Timeout=30, Code={"ZipFile": code})
    refused("AccessDeniedException", sm.rotate_secret, refuses, SecretId=secret, RotationLambdaARN=own)
    allow = dict(FunctionName="rotate", StatementId="rotation", Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com")
    fn.add_permission(SourceAccount="123456789012", **allow)
    refused("AccessDeniedException", sm.rotate_secret, refuses, SecretId=secret, RotationLambdaARN=own)
    fn.remove_permission(FunctionName="rotate", StatementId="rotation")
    fn.add_permission(SourceAccount=account, **allow)
    before = value()
    if run:
        token = str(uuid.uuid4())
        out = sm.rotate_secret(SecretId=secret, RotationLambdaARN=own, RotationRules={"AutomaticallyAfterDays": 30}, ClientRequestToken=token)
        equal("the token is the version", out["VersionId"], token)
        d = rotated(token, current)
        equal("rules", (d["RotationEnabled"], d["RotationLambdaARN"], d["RotationRules"]), (True, own, {"AutomaticallyAfterDays": 30}))
        equal("previous", value("AWSPREVIOUS"), before)
        equal("another password", value()["password"] == before["password"], False)
    else:
        print("skipped, functions do not run here: a rotation by one's own")
    # Without permission it does not go on.
    fn.remove_permission(FunctionName="rotate", StatementId="rotation")
    refused("AccessDeniedException", sm.rotate_secret, refuses, SecretId=secret, RotationLambdaARN=own)
    fn.delete_function(FunctionName="rotate")
    sm.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", sm.rotate_secret, "Secrets Manager can't find the specified secret.", SecretId=secret)
    refused("ResourceNotFoundException", sm.cancel_rotate_secret, "Secrets Manager can't find the specified secret.", SecretId=secret)


secrets(client("secretsmanager"))
secrets(client("secretsmanager", region_name="eu-central-1"))  # a name space of its own
keys(client("kms"))
identities(client("iam"))
policies(client("iam"))
other_keys(client("kms"))
sessions(client("iam"), client("sts"))
logs(client("logs"))
functions(client("iam"), client("lambda"), client("logs"))
rotations(client("iam"), client("lambda"), client("secretsmanager"))
if failures:
    sys.exit(f"{failures} failures")
print("ok, boto3", boto3.__version__)
