import { readFileSync } from "node:fs";
import { PROXY_TOKEN_PATTERN } from "coder-protocol/rest/workspace-proxies";
import { nodeErrorCode } from "../base/errors.ts";

/** The token of a workspace proxy: given directly, or the first line of a file that is read each time. It is never shown. */
export class ProxyToken {
  readonly #source: { readonly text: string } | { readonly file: string };

  constructor(source: { readonly text: string } | { readonly file: string }) {
    this.#source = source;
  }

  /** Throws an Error that names the file if it cannot be read or contains no token. */
  read(): string {
    const problem = this.problem();
    if (problem !== undefined) throw new Error(`the token ${problem}`);
    return this.#text();
  }

  /** Why the token cannot be used, without the token. */
  problem(): string | undefined {
    let text: string;
    try {
      text = this.#text();
    } catch (error) {
      return `cannot be read from "${(this.#source as { file: string }).file}": ${nodeErrorCode(error) ?? String(error)}`;
    }
    if (PROXY_TOKEN_PATTERN.test(text)) return undefined;
    return "is not a proxy's token, which is the proxy's id, a colon and 64 hex digits";
  }

  #text(): string {
    if ("text" in this.#source) return this.#source.text;
    return (readFileSync(this.#source.file, "utf8").split("\n", 1)[0] ?? "").trim();
  }

  /** Used in logs, so it never contains the token. */
  toString(): string {
    return "[token]";
  }

  toJSON(): string {
    return "[token]";
  }
}
