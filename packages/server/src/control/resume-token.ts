/**
 * Resume tokens: JWTs (RFC 7519, HS256) that let a client return as the same peer. A token alone grants nothing: it is valid only
 * together with the login and on the route for which it was issued, and ends with that login.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const LIFE_MS = 24 * 3_600_000;
const MAX_LENGTH = 2048;

export interface ResumeToken {
  readonly token: string;
  readonly refreshInMs: number;
  readonly expiresAtMs: number;
}

/** What a token is bound to. */
export interface ResumeHolder {
  readonly kind: "client" | "agent";
  readonly userId: string;
  /** The id of the login's key; for an agent, the generation of its token. */
  readonly keyId: string;
  /** Set for a connection to one agent only. */
  readonly agentId?: string | undefined;
}

export class ResumeTokens {
  readonly #key: Uint8Array;
  readonly #keyId: string;

  constructor(signingKey: Uint8Array) {
    this.#key = createHmac("sha256", signingKey).update("resume token").digest();
    this.#keyId = createHash("sha256").update(this.#key).digest("hex").slice(0, 16);
  }

  issue(peerId: string, holder: ResumeHolder, nowMs: number): ResumeToken {
    const expiresAtMs = nowMs + LIFE_MS;
    const head = encode({ alg: "HS256", typ: "JWT", kid: this.#keyId });
    const body = encode({
      sub: peerId,
      aud: this.#audience(peerId, holder),
      iat: Math.floor(nowMs / 1000),
      exp: Math.floor(expiresAtMs / 1000),
    });
    return { token: `${head}.${body}.${this.#sign(`${head}.${body}`)}`, refreshInMs: LIFE_MS / 2, expiresAtMs };
  }

  /**
   * The peer id of a token that `holder` may use; "ignored" for a token without a key id, which counts as absent; undefined if
   * refused.
   */
  verify(token: string, holder: ResumeHolder, nowMs: number): string | "ignored" | undefined {
    const parts = token.split(".");
    if (token.length > MAX_LENGTH || parts.length !== 3) return undefined;
    const [head, body, signature] = parts as [string, string, string];
    const header = decode(head);
    if (header === undefined) return undefined;
    if (header["kid"] === undefined) return "ignored";
    if (!sameText(this.#sign(`${head}.${body}`), signature)) return undefined;
    const claims = decode(body);
    if (header["alg"] !== "HS256" || header["kid"] !== this.#keyId || claims === undefined) return undefined;
    const { sub, aud, exp } = claims;
    if (typeof sub !== "string" || typeof aud !== "string" || typeof exp !== "number" || exp * 1000 <= nowMs)
      return undefined;
    return sameText(aud, this.#audience(sub, holder)) ? sub : undefined;
  }

  /** Identifies the holder without revealing who that is to a finder of the token. */
  #audience(peerId: string, { kind, userId, keyId, agentId }: ResumeHolder): string {
    return this.#sign(JSON.stringify(["holder", peerId, kind, userId, keyId, agentId ?? ""]));
  }

  #sign(text: string): string {
    return createHmac("sha256", this.#key).update(text).digest("base64url");
  }
}

function sameText(wanted: string, given: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(wanted), digest(given));
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // not issued by this deployment
  }
}
