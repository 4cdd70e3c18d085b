import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { ServerError } from "../base/errors.ts";
import { type StateDir, writePrivateFile } from "./state-dir.ts";

/**
 * The server's own secrets. They live in keys.json (0600) beside the database and never in it, so a dump of the
 * database holds nothing that can be used. Several servers on one database need the same file.
 */
export interface ServerKeys {
  /** HMAC key from which agent tokens are derived (auth/agent-tokens.ts). 32 bytes. */
  readonly agentToken: Uint8Array;
  /** HMAC key of signed tokens such as the coordinator's resume tokens. 32 bytes. */
  readonly signing: Uint8Array;
  /** HMAC key of CSRF proofs. 32 bytes. */
  readonly csrf: Uint8Array;
  /** X25519 private key of the embedded relay, unclamped. 32 bytes. */
  readonly derpPrivate: Uint8Array;
  /** Names the file without revealing it; stored in the database to notice a mixed-up pair. */
  readonly fingerprint: string;
}

const hexKey = z.string().regex(/^[0-9a-f]{64}$/);
const keyFile = z.object({
  version: z.literal(1),
  agent_token: hexKey,
  signing: hexKey,
  csrf: hexKey,
  derp_private: hexKey,
});

/** Reads the key file, or makes it on first start. Throws ServerError ERR_KEY_FILE; never falls back to a default key. */
export function loadServerKeys(stateDir: StateDir): ServerKeys {
  if (!existsSync(stateDir.keysPath)) {
    const fresh = () => randomBytes(32).toString("hex");
    const content = { version: 1, agent_token: fresh(), signing: fresh(), csrf: fresh(), derp_private: fresh() };
    writePrivateFile(stateDir.path, "keys.json", `${JSON.stringify(content, undefined, 2)}\n`);
  }
  return readServerKeys(stateDir.keysPath);
}

/** Reads a key file, and narrows its mode to 0600. Throws ServerError ERR_KEY_FILE. */
export function readServerKeys(path: string): ServerKeys {
  let content: unknown;
  try {
    chmodSync(path, 0o600);
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw damaged(path, "it cannot be read as JSON", cause);
  }
  const parsed = keyFile.safeParse(content);
  if (!parsed.success) throw damaged(path, "it does not hold four 32-byte keys", parsed.error);
  const { agent_token, signing, csrf, derp_private } = parsed.data;
  const texts = [agent_token, signing, csrf, derp_private];
  // A predictable or repeated key would make every token forgeable: better not to start.
  if (texts.some((text) => /^(..)\1*$/.test(text)) || new Set(texts).size !== texts.length) {
    throw damaged(path, "its keys are not random", undefined);
  }
  return {
    agentToken: Buffer.from(agent_token, "hex"),
    signing: Buffer.from(signing, "hex"),
    csrf: Buffer.from(csrf, "hex"),
    derpPrivate: Buffer.from(derp_private, "hex"),
    fingerprint: createHash("sha256").update(`coder key file\0${agent_token}`).digest("hex").slice(0, 32),
  };
}

function damaged(path: string, why: string, cause: unknown): ServerError {
  return new ServerError("ERR_KEY_FILE", `Cannot use the key file "${path}"`, {
    why,
    nextSteps: [
      "put back the file from a backup; removing it makes a new one, and every agent token must be issued again",
    ],
    cause,
  });
}
