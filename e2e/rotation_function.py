# A rotation function with the standard library alone, and what such functions do wrong.
import datetime
import hashlib
import hmac
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def call(service, target, **params):
    """Calls an operation of a JSON service, signed with Signature Version 4."""
    url, region = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
    body = json.dumps(params).encode()
    now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-amz-json-1.1", "host": urlsplit(url).netloc, "x-amz-date": now,
        "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"], "x-amz-target": target,
    }
    names = ";".join(sorted(headers))
    canonical = "\n".join(["POST", "/", ""] + ["%s:%s" % (n, headers[n]) for n in sorted(headers)] + ["", names, hashlib.sha256(body).hexdigest()])
    scope = "/".join([now[:8], region, service, "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = sign(key, part)
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        os.environ["AWS_ACCESS_KEY_ID"], scope, names, sign(key, text).hex())
    trust = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), context=trust) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        error = json.load(e)
        raise RuntimeError("%s %s" % (error["__type"], error.get("Message", error.get("message"))))


def secrets(operation, **params):
    return call("secretsmanager", "secretsmanager." + operation, **params)


def rotate(event, context):
    """Replaces the password of a secret that nothing but its readers knows."""
    secret, token = event["SecretId"], event["ClientRequestToken"]
    labels = secrets("DescribeSecret", SecretId=secret)["VersionIdsToStages"]
    if event["Step"] == "createSecret":
        try:
            secrets("GetSecretValue", SecretId=secret, VersionId=token, VersionStage="AWSPENDING")
        except RuntimeError:  # there is none yet
            new = secrets("GetRandomPassword")["RandomPassword"]
            secrets("PutSecretValue", SecretId=secret, ClientRequestToken=token, SecretString=json.dumps({"password": new}), VersionStages=["AWSPENDING"])
    if event["Step"] == "finishSecret" and "AWSCURRENT" not in labels[token]:
        old = [v for v, stages in labels.items() if "AWSCURRENT" in stages]
        secrets("UpdateSecretVersionStage", SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=old[0])


def hangs(event, context):
    if event["Step"] != "setSecret":
        return rotate(event, context)
    print("about to hang")
    time.sleep(60)


def talks(event, context):
    print("about to talk")
    return "x" * (7 << 20)


def exits(event, context):
    if event["Step"] != "testSecret":
        return rotate(event, context)
    print("about to exit")
    os._exit(3)


def raises(event, context):
    if event["Step"] != "finishSecret":
        return rotate(event, context)
    print("about to raise")
    raise ValueError("the label is stuck")


def forgets(event, context):
    if event["Step"] != "finishSecret":
        return rotate(event, context)
    print("about to forget")


def idles(event, context):
    print("about to idle")


def rotates(event, context):
    if event["Step"] != "setSecret":
        return rotate(event, context)
    print("about to rotate")
    secrets("RotateSecret", SecretId=event["SecretId"], ClientRequestToken="x" * 32)


def restarts(event, context):
    rotate(event, context)
    try:
        secrets("RotateSecret", SecretId=event["SecretId"], ClientRequestToken=(event["Step"] * 4)[:32])
    except RuntimeError as e:
        print("refused:", e)
