"""Rotates a value that only its readers know: a signing key, a token between two programs.

Deploy with handler `rotate.handler`. For a value that a service knows too, fill in
set_secret (tell the service) and test_secret (try it there); the rest stays.
"""

import logging

import boto3

log = logging.getLogger()
log.setLevel(logging.INFO)

secrets = boto3.client("secretsmanager")


def handler(event, context):
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    secret = secrets.describe_secret(SecretId=arn)
    if not secret.get("RotationEnabled"):
        raise ValueError(f"{arn} is not enabled for rotation")
    stages = secret["VersionIdsToStages"].get(token)
    if stages is None:
        raise ValueError(f"{arn} has no version {token}")
    if "AWSCURRENT" in stages:
        log.info("%s: version %s is current already", step, token)
        return
    if "AWSPENDING" not in stages:
        raise ValueError(f"version {token} of {arn} is not pending")
    STEPS[step](arn, token, secret)
    log.info("%s: version %s is done", step, token)  # the version, never its value


def create_secret(arn, token, secret):
    """Make the new value, unless an earlier try of this step has."""
    try:
        secrets.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
    except secrets.exceptions.ResourceNotFoundException:
        value = secrets.get_random_password(PasswordLength=40, ExcludePunctuation=True)["RandomPassword"]
        secrets.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=value, VersionStages=["AWSPENDING"])


def set_secret(arn, token, secret):
    """Nothing but the secret holds the value."""


def test_secret(arn, token, secret):
    """The pending value is whole, and is another."""
    pending = secrets.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")["SecretString"]
    current = secrets.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"]
    if len(pending) != 40 or pending == current:
        raise ValueError(f"version {token} of {arn} cannot be used")


def finish_secret(arn, token, secret):
    """Move AWSCURRENT to the new version; AWSPREVIOUS goes to the old one by itself."""
    current = next(v for v, stages in secret["VersionIdsToStages"].items() if "AWSCURRENT" in stages)
    secrets.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current)


STEPS = {"createSecret": create_secret, "setSecret": set_secret, "testSecret": test_secret, "finishSecret": finish_secret}
