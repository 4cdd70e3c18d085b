/**
 * Texts that a browser carries from one host of the deployment to another without being able to read or change them: AES-256-GCM
 * with a key derived from the deployment's signing key, so that any of its servers opens what another sealed.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

const IV_BYTES = 12;
const TAG_BYTES = 16;

export class Sealing {
  readonly #key: Uint8Array;

  /** @param shared The deployment's signing key. @param purpose A text sealed for one purpose cannot be opened for another. */
  constructor(shared: Uint8Array, purpose: string) {
    this.#key = createHmac("sha256", shared).update(purpose).digest();
  }

  /** @param bound Values that must be given again to open the text. */
  seal(text: string, bound: readonly string[]): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv).setAAD(dataOf(bound));
    return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString("base64url");
  }

  /** Undefined if the text was not sealed by this deployment for this purpose and with the same `bound`. */
  open(sealed: string, bound: readonly string[]): string | undefined {
    const bytes = Buffer.from(sealed, "base64url");
    // Only the canonical encoding is accepted, because other values are derived from the text rather than from its bytes.
    if (bytes.length <= IV_BYTES + TAG_BYTES || bytes.toString("base64url") !== sealed) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(dataOf(bound)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
    try {
      return Buffer.concat([opened, decipher.final()]).toString("utf8");
    } catch {
      return undefined; // not sealed by this deployment, or bound to other values
    }
  }
}

/** The parts are ids, host names and digests, so none of them contains NUL. */
function dataOf(bound: readonly string[]): Buffer {
  return Buffer.from(bound.join("\0"));
}
