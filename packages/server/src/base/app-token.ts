/**
 * App tokens: JWTs (RFC 7519) in compact form, HS256, by which a deployment grants a workspace proxy one visitor's use of one app
 * or terminal. Each proxy has its own keys and is the only audience of the tokens that they sign.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { uuid } from "coder-protocol/rest/common";
import { appAccessMethod, appGrant, type CryptoKey } from "coder-protocol/rest/proxy-apps";
import { z } from "zod";
import { parsedJson } from "./parsed-json.ts";

/** The token of an app with the longest address and the most origins takes 13 KiB. */
export const MAX_APP_TOKEN_LENGTH = 16 * 1024;
export const APP_TOKEN_LIFE_MS = 60_000;
/** How far the proxy's clock may be behind, in ms. */
const SKEW_MS = 60_000;

const header = z.strictObject({ alg: z.literal("HS256"), typ: z.literal("JWT"), kid: z.string().regex(/^\d{1,12}$/) });

const claims = z.object({
  /** Id of the deployment. */
  iss: z.string(),
  aud: z.string(),
  iat: z.number().int(),
  nbf: z.number().int(),
  exp: z.number().int(),
  jti: z.string(),
  access_method: appAccessMethod,
  base_path: z.string(),
  app_prefix: z.string(),
  username_or_id: z.string(),
  workspace_name_or_id: z.string(),
  agent_name_or_id: z.string(),
  app_slug_or_port: z.string(),
  /** "" for an anonymous visitor. */
  user_id: z.literal("").or(uuid),
  workspace_id: uuid,
  agent_id: uuid,
  /** "" for a terminal. */
  app_url: z.string(),
  grant: appGrant,
});
export type AppTokenClaims = z.infer<typeof claims>;

/** The claims that the caller decides; the others follow from the time and the proxy. */
export type AppTokenFacts = Omit<AppTokenClaims, "iss" | "aud" | "iat" | "nbf" | "exp">;

export interface AppTokenParties {
  readonly issuer: string;
  readonly audience: string;
  readonly now: number;
}

/** A key in the form used to sign and verify. */
export type AppTokenKey = Pick<CryptoKey, "secret" | "sequence"> & {
  /** Milliseconds since the epoch; from then on its signatures are refused. */
  readonly deletesAt: number;
};

/** "unknown-key": the token names a key that the caller does not have, or no longer accepts. */
export type AppTokenRefusal =
  | "malformed"
  | "unknown-key"
  | "signature"
  | "claims"
  | "issuer"
  | "audience"
  | "expired"
  | "not-yet-valid";

export function proxyAudience(proxyId: string): string {
  return `proxy:${proxyId}`;
}

export function signAppToken(
  facts: AppTokenFacts,
  key: AppTokenKey,
  { issuer, audience, now }: AppTokenParties,
): string {
  const body: AppTokenClaims = {
    iss: issuer,
    aud: audience,
    iat: Math.floor(now / 1_000),
    nbf: Math.floor((now - SKEW_MS) / 1_000),
    exp: Math.floor((now + APP_TOKEN_LIFE_MS) / 1_000),
    ...facts,
  };
  const head: z.infer<typeof header> = { alg: "HS256", typ: "JWT", kid: String(key.sequence) };
  const signed = `${encode(head)}.${encode(body)}`;
  return `${signed}.${signatureOf(signed, key)}`;
}

/** The claims of a token that is valid for `parties.audience` now. The signature is checked before the claims are read. */
export function verifyAppToken(
  text: string,
  keys: readonly AppTokenKey[],
  { issuer, audience, now }: AppTokenParties,
): { readonly claims: AppTokenClaims } | { readonly refused: AppTokenRefusal } {
  if (text.length > MAX_APP_TOKEN_LENGTH) return { refused: "malformed" };
  const parts = text.split(".");
  if (parts.length !== 3) return { refused: "malformed" };
  const [head, body, signature] = parts as [string, string, string];
  const parsedHead = decode(head, header);
  if (parsedHead === undefined) return { refused: "malformed" };
  const key = keys.find(({ sequence, deletesAt }) => String(sequence) === parsedHead.kid && now < deletesAt);
  if (key === undefined) return { refused: "unknown-key" };
  // The texts are compared, because several texts decode to the same bytes.
  if (!sameText(signatureOf(`${head}.${body}`, key), signature)) return { refused: "signature" };
  const found = decode(body, claims);
  if (found === undefined) return { refused: "claims" };
  if (found.iss !== issuer) return { refused: "issuer" };
  if (found.aud !== audience) return { refused: "audience" };
  if (found.exp * 1_000 <= now) return { refused: "expired" };
  if (found.nbf * 1_000 > now) return { refused: "not-yet-valid" };
  return { claims: found };
}

function signatureOf(signed: string, { secret }: AppTokenKey): string {
  return createHmac("sha256", Buffer.from(secret, "hex")).update(signed).digest("base64url");
}

function sameText(wanted: string, given: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(wanted), digest(given));
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode<Schema extends z.ZodType>(part: string, schema: Schema): z.infer<Schema> | undefined {
  const json = parsedJson(Buffer.from(part, "base64url").toString("utf8"));
  const parsed = schema.safeParse(json);
  return parsed.success ? parsed.data : undefined;
}
