// Rotates a value that only its readers know: a signing key, a token between two programs.
//
// Deploy with handler `rotate.handler`. For a value that a service knows too, fill in
// setSecret (tell the service) and testSecret (try it there); the rest stays.

import {
  SecretsManagerClient, DescribeSecretCommand, GetRandomPasswordCommand, GetSecretValueCommand,
  PutSecretValueCommand, UpdateSecretVersionStageCommand,
} from "@aws-sdk/client-secrets-manager";

const secrets = new SecretsManagerClient({}); // reads AWS_ENDPOINT_URL

export async function handler({ SecretId, ClientRequestToken, Step }) {
  const secret = await secrets.send(new DescribeSecretCommand({ SecretId }));
  if (!secret.RotationEnabled) throw new Error(`${SecretId} is not enabled for rotation`);
  const stages = secret.VersionIdsToStages[ClientRequestToken];
  if (!stages) throw new Error(`${SecretId} has no version ${ClientRequestToken}`);
  if (stages.includes("AWSCURRENT")) {
    console.info(`${Step}: version ${ClientRequestToken} is current already`);
    return;
  }
  if (!stages.includes("AWSPENDING")) throw new Error(`version ${ClientRequestToken} of ${SecretId} is not pending`);
  if (!Object.hasOwn(steps, Step)) throw new Error(`no such step: ${Step}`);
  await steps[Step](SecretId, ClientRequestToken, secret);
  console.info(`${Step}: version ${ClientRequestToken} is done`); // the version, never its value
}

const valueOf = async (SecretId, VersionStage, VersionId) =>
  (await secrets.send(new GetSecretValueCommand({ SecretId, VersionStage, VersionId }))).SecretString;

const steps = {
  // Make the new value, unless an earlier try of this step has.
  async createSecret(SecretId, ClientRequestToken) {
    try {
      await valueOf(SecretId, "AWSPENDING", ClientRequestToken);
      return;
    } catch (e) {
      if (e.name !== "ResourceNotFoundException") throw e;
    }
    const made = await secrets.send(new GetRandomPasswordCommand({ PasswordLength: 40, ExcludePunctuation: true }));
    await secrets.send(new PutSecretValueCommand({
      SecretId, ClientRequestToken, SecretString: made.RandomPassword, VersionStages: ["AWSPENDING"],
    }));
  },

  // Nothing but the secret holds the value.
  async setSecret() {},

  // The pending value is whole, and is another.
  async testSecret(SecretId, ClientRequestToken) {
    const pending = await valueOf(SecretId, "AWSPENDING", ClientRequestToken);
    const current = await valueOf(SecretId, "AWSCURRENT");
    if (pending?.length !== 40 || pending === current) {
      throw new Error(`version ${ClientRequestToken} of ${SecretId} cannot be used`);
    }
  },

  // Move AWSCURRENT to the new version; AWSPREVIOUS goes to the old one by itself.
  async finishSecret(SecretId, ClientRequestToken, { VersionIdsToStages }) {
    const [current] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes("AWSCURRENT"));
    await secrets.send(new UpdateSecretVersionStageCommand({
      SecretId, VersionStage: "AWSCURRENT", MoveToVersionId: ClientRequestToken, RemoveFromVersionId: current,
    }));
  },
};
