/** Removes secrets from data that leaves the machine. In doubt it removes too much; replaced text is marked as such. */

const REPLACED = "[redacted]";
/** Fields whose value is always a secret. */
const SECRET_KEY =
  /(^|[_-])(token|secret|password|passphrase|authorization|cookie|private_?key|session_?key|api_?key|credential|psk)s?$/i;
const HEADER_LINE =
  /^(\s*"?(?:authorization|proxy-authorization|cookie|set-cookie|coder-session-token|x-api-key)"?\s*[:=]\s*).+$/gim;
/** `key=value`, `key: value` and `"key":"value"` in running text. */
const ASSIGNMENT =
  /((?:token|secret|password|passphrase|authorization|cookie|private_?key|session_?key|api_?key)s?["']?\s*[:=]\s*["']?)([^\s"',;&)}\]]{4,})/gi;
const URL_USER = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;
const PEM = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY-----/g;
/** A Coder token: ten characters, a hyphen, twenty-two characters. */
const CODER_TOKEN = /\b[A-Za-z0-9]{10}-[A-Za-z0-9]{22}\b/g;
const KEY_TEXT = /\b(privkey|discokeypriv|nlpriv):[0-9a-f]{64}\b/gi;
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/g;

export class Redactor {
  readonly #secrets: readonly string[];

  /** @param secrets Values known to be secret, such as the session token. Short ones are ignored. */
  constructor(secrets: readonly (string | undefined)[]) {
    this.#secrets = secrets
      .filter((secret): secret is string => secret !== undefined && secret.length >= 6)
      .sort((a, b) => b.length - a.length);
  }

  text(text: string): string {
    let result = text;
    for (const secret of this.#secrets) {
      for (const form of new Set([secret, encodeURIComponent(secret)])) result = result.replaceAll(form, REPLACED);
    }
    return result
      .replace(PEM, REPLACED)
      .replace(HEADER_LINE, `$1${REPLACED}`)
      .replace(BEARER, `$1 ${REPLACED}`)
      .replace(URL_USER, `$1${REPLACED}@`)
      .replace(CODER_TOKEN, REPLACED)
      .replace(KEY_TEXT, `$1:${REPLACED}`)
      .replace(ASSIGNMENT, `$1${REPLACED}`);
  }

  /** A copy in which the values of secret fields are replaced and every text is redacted. */
  json(value: unknown): unknown {
    if (typeof value === "string") return this.text(value);
    if (Array.isArray(value)) return value.map((item) => this.json(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        this.text(key),
        SECRET_KEY.test(key) && item !== null && item !== "" && typeof item !== "boolean" ? REPLACED : this.json(item),
      ]),
    );
  }
}
