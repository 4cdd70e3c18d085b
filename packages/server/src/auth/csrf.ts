import { createHmac, timingSafeEqual } from "node:crypto";

/** The CSRF proof of a login: only a page of this deployment can read it from its cookie, and it is valid for no other key. */
export function csrfProof(key: Uint8Array, keyId: string): string {
  return createHmac("sha256", key).update(`csrf\0${keyId}`).digest("base64url");
}

export function isCsrfProof(key: Uint8Array, keyId: string, proof: string | undefined): boolean {
  if (proof === undefined) return false;
  const expected = Buffer.from(csrfProof(key, keyId));
  const given = Buffer.from(proof);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
