/** The lasting identity of this machine's agent: an Ed25519 key in a file of its own, made at the first start. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { identityStatement } from "coder-protocol/agent-identity";

export class AgentIdentity {
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  /** Reads the key, or makes one where there is none. Throws when the file cannot be read or made, or does not contain a key. */
  static open(file: string): AgentIdentity {
    return new AgentIdentity(createPrivateKey(read(file) ?? make(file)));
  }

  private constructor(key: KeyObject) {
    if (key.asymmetricKeyType !== "ed25519") throw new Error("the file holds another kind of key");
    this.#key = key;
    const { x } = createPublicKey(key).export({ format: "jwk" });
    this.publicKey = Buffer.from(x ?? "", "base64url");
  }

  /** Proves to a client whose tunnel ends at `nodeKey` that this identity is behind it. */
  sign(challenge: Uint8Array, nodeKey: Uint8Array): Uint8Array {
    return sign(null, identityStatement(challenge, nodeKey), this.#key);
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Another agent of this account may be doing the same: the first one's key counts for both. */
function make(file: string): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  const draft = `${file}.${randomUUID()}`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(draft, privateKey.export({ format: "pem", type: "pkcs8" }), { flag: "wx", mode: 0o600 });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(draft);
  }
  return readFileSync(file, "utf8");
}
