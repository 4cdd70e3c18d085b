/** Resume tokens: JWTs (RFC 7519, HS256) that let a client come back as the same peer. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const LIFE_MS = 24 * 3_600_000;
const MAX_LENGTH = 2048;

export interface ResumeToken {
  readonly token: string;
  readonly refreshInMs: number;
  readonly expiresAtMs: number;
}

export class ResumeTokens {
  readonly #key: Uint8Array;
  readonly #keyId: string;

  constructor(signingKey: Uint8Array) {
    this.#key = createHmac("sha256", signingKey).update("resume token").digest();
    this.#keyId = createHash("sha256").update(this.#key).digest("hex").slice(0, 16);
  }

  issue(peerId: string, nowMs: number): ResumeToken {
    const expiresAtMs = nowMs + LIFE_MS;
    const head = encode({ alg: "HS256", typ: "JWT", kid: this.#keyId });
    const body = encode({ sub: peerId, iat: Math.floor(nowMs / 1000), exp: Math.floor(expiresAtMs / 1000) });
    return { token: `${head}.${body}.${this.#sign(`${head}.${body}`)}`, refreshInMs: LIFE_MS / 2, expiresAtMs };
  }

  /** The peer id of a valid token; "ignored" for one without a key id, which counts as none; undefined when refused. */
  verify(token: string, nowMs: number): string | "ignored" | undefined {
    const parts = token.split(".");
    if (token.length > MAX_LENGTH || parts.length !== 3) return undefined;
    const [head, body, signature] = parts as [string, string, string];
    const header = decode(head);
    if (header === undefined) return undefined;
    if (header["kid"] === undefined) return "ignored";
    const wanted = createHash("sha256")
      .update(this.#sign(`${head}.${body}`))
      .digest();
    const given = createHash("sha256").update(signature).digest();
    if (!timingSafeEqual(wanted, given)) return undefined;
    const claims = decode(body);
    if (header["alg"] !== "HS256" || header["kid"] !== this.#keyId || claims === undefined) return undefined;
    const { sub, exp } = claims;
    return typeof sub === "string" && typeof exp === "number" && exp * 1000 > nowMs ? sub : undefined;
  }

  #sign(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not ours
  }
}
