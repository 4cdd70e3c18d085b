import type { FirstWorkspaces } from "coder-protocol/rest/dashboard";
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { User } from "coder-protocol/rest/users";

/** Data embedded in a page, so that its first paint needs no request. */
export interface Boot {
  /** The logged-in user, if any. */
  readonly user: User | null;
  /** Whether the first user exists. */
  readonly ready: boolean;
  readonly version: string;
  /** In the page of the list only. */
  readonly workspaces?: FirstWorkspaces | undefined;
  /** Absent on pages of a deployment. */
  readonly local?: LocalPage | undefined;
}

/** What the page of `coder open terminal --local` shows besides its terminals. */
export interface LocalPage {
  /** The origin of the deployment's own pages. */
  readonly deployment: string;
  /** `owner/workspace`. */
  readonly workspace: string;
  /** The user's choices as their account stores them, of type UserAppearance; null if there are none. */
  readonly appearance: UserAppearance | null;
}

const MARK = "<!--head-->";

/** Fills index.html for one answer. */
export function fillPage(
  template: string,
  { nonce, boot, preload }: { nonce: string; boot: Boot; preload: readonly string[] },
): string {
  const [before, after] = template.split(MARK);
  if (before === undefined || after === undefined) throw new Error(`the dashboard's index.html has no ${MARK}`);
  const links = preload.map((path) => `<link rel="modulepreload" crossorigin href="${path}">`);
  // "<" is escaped everywhere, so the JSON cannot end its element.
  const json = JSON.stringify(boot).replaceAll("<", "\\u003c");
  const head = [
    `<meta name="csp-nonce" nonce="${nonce}">`,
    `<script type="application/json" id="boot">${json}</script>`,
    ...links,
  ];
  return `${before}${head.join("\n    ")}${after}`;
}
