import { createPrivateKey, createPublicKey, hkdfSync, randomBytes } from "node:crypto";

export interface HostKeyIdentity {
  readonly owner: string;
  readonly workspace: string;
  readonly agent: string;
}

/**
 * The workspace's SSH host key. It stays the same across restarts, so clients that remember keys raise no alarm. It is an ed25519
 * key whose seed is HKDF-SHA-256 over owner, NUL, workspace, NUL, agent (or over a given seed of 32 or more bytes). The names are
 * not secret, so a key derived from them proves nothing: the tunnel authenticates the peer, and the service is reachable only
 * inside it.
 * @returns The private key in OpenSSH's format.
 */
export function deriveHostKey(identity: HostKeyIdentity | Uint8Array): string {
  if (identity instanceof Uint8Array && identity.length < SEED_BYTES) {
    throw new RangeError(`a host key seed has at least ${SEED_BYTES} bytes, not ${identity.length}`);
  }
  const material =
    identity instanceof Uint8Array
      ? identity
      : Buffer.from(`${identity.owner}\0${identity.workspace}\0${identity.agent}`, "utf8");
  const seed = Buffer.from(hkdfSync("sha256", material, "coder-agent", "ssh host key ed25519", SEED_BYTES));
  return openSshPrivateKey(seed);
}

const SEED_BYTES = 32;
/** PKCS#8 wrapping of a raw ed25519 seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** OpenSSH's PROTOCOL.key: magic, no cipher, one key, public part, private part padded with 1, 2, 3 … */
function openSshPrivateKey(seed: Buffer): string {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const publicBytes = spki.subarray(spki.length - 32);
  const publicBlob = Buffer.concat([sshString("ssh-ed25519"), sshString(publicBytes)]);
  const check = randomBytes(4);
  let secret = Buffer.concat([
    check,
    check,
    publicBlob,
    sshString(Buffer.concat([seed, publicBytes])),
    sshString("coder-agent"),
  ]);
  const padding: number[] = [];
  while ((secret.length + padding.length) % 8 !== 0) padding.push(padding.length + 1);
  secret = Buffer.concat([secret, Buffer.from(padding)]);
  const count = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0", "latin1"),
    sshString("none"),
    sshString("none"),
    sshString(""),
    count,
    sshString(publicBlob),
    sshString(secret),
  ]);
  const lines = file.toString("base64").match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join("\n")}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function sshString(value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
