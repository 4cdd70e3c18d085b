import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, type Stats } from "node:fs";
import { basename, dirname } from "node:path";
import { z } from "zod";
import { nodeErrorCode, ServerError } from "../base/errors.ts";
import { narrowOwn } from "../base/private-mode.ts";
import { writePrivateFile } from "./state-dir.ts";

/**
 * The server's own secrets. They are kept in keys.json (0600) beside the database and never in it, so a dump of the database
 * contains no usable secret. Several servers on one database need the same file.
 */
export interface ServerKeys {
  /** HMAC key from which agent tokens are derived (auth/tokens.ts). 32 bytes. */
  readonly agentToken: Uint8Array;
  /** HMAC key of signed tokens such as the coordinator's resume tokens. 32 bytes. */
  readonly signing: Uint8Array;
  /** HMAC key of CSRF proofs. 32 bytes. */
  readonly csrf: Uint8Array;
  /** X25519 private key of the embedded relay, unclamped. 32 bytes. */
  readonly derpPrivate: Uint8Array;
  /** Identifies the file without revealing it; stored in the database to detect a key file that belongs to another database. */
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

/**
 * Reads the key file, or creates it for a new deployment. Throws ServerError ERR_KEY_FILE; never falls back to a default key, and
 * never replaces a missing file.
 * @param isUsed Whether the database contains a deployment, to which these keys must belong.
 */
export function loadServerKeys(path: string, isUsed: boolean): { keys: ServerKeys; isNew: boolean } {
  const isNew = !existsSync(path);
  if (isNew && isUsed) {
    throw new ServerError("ERR_KEY_FILE", `There is no key file "${path}"`, {
      why: "the database was used with one, and a new one would make every agent token invalid",
      nextSteps: [
        `copy keys.json from another server of this deployment, or from a backup, to "${path}"`,
        "or name the file with --keys-file",
      ],
    });
  }
  if (isNew) writeNewKeys(path);
  return { keys: readServerKeys(path), isNew };
}

/** Writes a file of new random keys (0600). */
export function writeNewKeys(path: string): void {
  const fresh = () => randomBytes(32).toString("hex");
  const content = { version: 1, agent_token: fresh(), signing: fresh(), csrf: fresh(), derp_private: fresh() };
  writePrivateFile(dirname(path), basename(path), `${JSON.stringify(content, undefined, 2)}\n`);
}

/**
 * Reads a key file. If this process owns it, its mode is narrowed to 0600; the file of another account has to be private already.
 * Throws ServerError ERR_KEY_FILE.
 */
export function readServerKeys(path: string): ServerKeys {
  let found: Stats;
  let text: string;
  try {
    found = narrowOwn(path, 0o600);
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const code = nodeErrorCode(cause);
    const denied = code === "EACCES" || code === "EPERM";
    throw unusable(path, denied ? "this user may not read it" : `${code ?? "it cannot be read"}`, {
      nextSteps: [denied ? "make it readable for this user, and for no other" : FROM_BACKUP],
      cause,
    });
  }
  refuseOpenFile(path, found);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw unusable(path, "it cannot be read as JSON", { nextSteps: [FROM_BACKUP], cause });
  }
  const parsed = keyFile.safeParse(content);
  if (!parsed.success) {
    throw unusable(path, "it does not hold four 32-byte keys", { nextSteps: [FROM_BACKUP], cause: parsed.error });
  }
  const { agent_token, signing, csrf, derp_private } = parsed.data;
  const texts = [agent_token, signing, csrf, derp_private];
  // A predictable or repeated key would make every token forgeable, so the server must not start.
  if (texts.some((text) => /^(..)\1*$/.test(text)) || new Set(texts).size !== texts.length) {
    throw unusable(path, "its keys are not random", { nextSteps: [FROM_BACKUP] });
  }
  return {
    agentToken: Buffer.from(agent_token, "hex"),
    signing: Buffer.from(signing, "hex"),
    csrf: Buffer.from(csrf, "hex"),
    derpPrivate: Buffer.from(derp_private, "hex"),
    fingerprint: createHash("sha256").update(`coder key file\0${agent_token}`).digest("hex").slice(0, 32),
  };
}

/**
 * Refuses a file whose keys others may read. Group access is accepted if root chose it, as for a secret that Kubernetes mounts
 * for a pod's group, or if this process owns the file on a file system that does not allow its mode to be changed.
 */
function refuseOpenFile(path: string, { mode, uid }: Stats): void {
  if (process.geteuid === undefined) return;
  const everyone = (mode & 0o007) !== 0;
  const group = (mode & 0o070) !== 0 && uid !== 0 && uid !== process.geteuid();
  if (!everyone && !group) return;
  const isOurs = uid === process.geteuid();
  const whose = isOurs ? "its file system keeps that mode" : `it belongs to another user (${uid})`;
  throw unusable(path, `${everyone ? "every user of this machine" : "its group"} may reach it, and ${whose}`, {
    nextSteps: isOurs
      ? ["choose a folder on a file system that has modes, or mount this one so (WSL: metadata; CIFS: file_mode=0600)"]
      : [`chmod ${everyone ? "o" : "g"}= "${path}"`, "for a secret of Kubernetes: defaultMode: 0440 in its volume"],
  });
}

const FROM_BACKUP =
  "put back the file from a backup; removing it makes a new one, and every agent token must be issued again";

function unusable(path: string, why: string, options: { nextSteps: readonly string[]; cause?: unknown }): ServerError {
  return new ServerError("ERR_KEY_FILE", `Cannot use the key file "${path}"`, { why, ...options });
}
