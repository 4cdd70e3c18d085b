import type { User } from "coder-protocol/rest/users";

/** What the server puts into the page, so that the first paint needs no request. */
export interface Boot {
  readonly user: User | null;
  /** Whether the first user exists. */
  readonly ready: boolean;
  readonly version: string;
}

export function readBoot(): Boot {
  const text = document.getElementById("boot")?.textContent ?? "";
  // Without a server that fills the page in, as under `vite`: the API tells the same.
  return text === "" ? { user: null, ready: true, version: "" } : (JSON.parse(text) as Boot);
}

/** Read through the property: the attribute is hidden from selectors and scripts that were injected. */
export function readNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.nonce ?? "";
}
