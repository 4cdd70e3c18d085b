import type { FirstWorkspaces } from "coder-protocol/rest/dashboard";
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { User } from "coder-protocol/rest/users";

/** Data that the server puts into the page, so that the first paint needs no request. */
export interface Boot {
  readonly user: User | null;
  /** Whether the first user exists. */
  readonly ready: boolean;
  readonly version: string;
  /** In the page of the list only. */
  readonly workspaces?: FirstWorkspaces | undefined;
  /** Absent on pages of a deployment. */
  readonly local?: LocalPage;
}

/** Of a page that `coder open terminal --local` serves: one terminal of one workspace, and nothing else of a deployment. */
export interface LocalPage {
  /** The origin of the deployment's own pages. */
  readonly deployment: string;
  /** `owner/workspace`. */
  readonly workspace: string;
  /** The user's choices; null if they are not known. */
  readonly appearance: UserAppearance | null;
}

export function readBoot(): Boot {
  const text = document.getElementById("boot")?.textContent ?? "";
  // If no server fills in the page, as under `vite`, the API provides the same data.
  return text === "" ? { user: null, ready: true, version: "" } : (JSON.parse(text) as Boot);
}

/** Read through the property, because the attribute is hidden from selectors and injected scripts. */
export function readNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.nonce ?? "";
}
