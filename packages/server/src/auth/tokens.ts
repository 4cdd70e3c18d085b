import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { SESSION_TOKEN_PATTERN } from "coder-protocol/rest/common";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH = 10;
const SECRET_LENGTH = 22;

/** The two parts of a user's token. `id` is public; `secret` (131 bits) leaves memory only once, when the user is shown it. */
export interface UserToken {
  readonly id: string;
  readonly secret: string;
}

export function mintUserToken(): UserToken {
  return { id: randomText(ID_LENGTH), secret: randomText(SECRET_LENGTH) };
}

export function formatUserToken(token: UserToken): string {
  return `${token.id}-${token.secret}`;
}

/** Undefined if the text has any other form. */
export function parseUserToken(text: string): UserToken | undefined {
  if (!SESSION_TOKEN_PATTERN.test(text)) return undefined;
  return { id: text.slice(0, ID_LENGTH), secret: text.slice(ID_LENGTH + 1) };
}

/** SHA-256 in hex. Sufficient for random secrets; passwords go through passwords.ts. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** Constant-time comparison of two hex digests of equal length. */
export function equalDigests(a: string, b: string): boolean {
  const left = Buffer.from(a, "hex");
  const right = Buffer.from(b, "hex");
  return left.length > 0 && left.length === right.length && timingSafeEqual(left, right);
}

/**
 * The token of one agent in one generation, in the form of a UUID. It is derived rather than stored, so that it can
 * be shown again on request while the database holds only its hash (docs/decisions/003-store.md).
 */
export function deriveAgentToken(key: Uint8Array, agentId: string, generation: number): string {
  const bytes = createHmac("sha256", key).update(`agent token\0${agentId}\0${generation}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const AGENT_TOKEN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isAgentToken(text: string): boolean {
  return AGENT_TOKEN.test(text);
}

/** Random letters and digits, each equally likely. */
function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      // 248 = 4 × 62: larger bytes would make the first letters likelier.
      if (byte < 248 && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}
