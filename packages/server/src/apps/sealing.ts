/**
 * Texts that a browser carries from one host of the deployment to another and cannot read or change: AES-256-GCM with a key that
 * follows from the deployment's signing key, so that any of its servers opens what another one sealed.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

const IV_BYTES = 12;
const TAG_BYTES = 16;

export class Sealing {
  readonly #key: Uint8Array;

  /** @param shared The deployment's signing key. @param purpose What is sealed for another purpose is not opened. */
  constructor(shared: Uint8Array, purpose: string) {
    this.#key = createHmac("sha256", shared).update(purpose).digest();
  }

  /** @param bound What has to be known again to open it. */
  seal(text: string, bound: readonly string[]): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, iv).setAAD(dataOf(bound));
    return Buffer.concat([iv, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString("base64url");
  }

  /** Undefined: it was not sealed by this deployment, for this purpose and with the same `bound`. */
  open(sealed: string, bound: readonly string[]): string | undefined {
    const bytes = Buffer.from(sealed, "base64url");
    // One text for the same bytes: what follows from the text follows from the content.
    if (bytes.length <= IV_BYTES + TAG_BYTES || bytes.toString("base64url") !== sealed) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(dataOf(bound)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
    try {
      return Buffer.concat([opened, decipher.final()]).toString("utf8");
    } catch {
      return undefined; // not ours, or bound to something else
    }
  }
}

/** None of the parts holds NUL: they are ids, host names and digests. */
function dataOf(bound: readonly string[]): Buffer {
  return Buffer.from(bound.join("\0"));
}
