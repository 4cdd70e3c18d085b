/** What the page of the proxies shows after a dialog was answered. */
import type { UpdateWorkspaceProxyResponse, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";

/** An open dialog; each time that one is opened it is another object. */
export type Asking =
  | { readonly what: "create" }
  | { readonly what: "edit" | "token" | "delete"; readonly proxy: WorkspaceProxy };

export interface Shown {
  readonly asking: Asking | undefined;
  /** One of a proxy at most, the latest at the end. */
  readonly tokens: readonly UpdateWorkspaceProxyResponse[];
}

/** The dialog that was answered may have been left before the answer came, and another one opened, which stays. */
export function afterAnswer({ asking, tokens }: Shown, answered: Asking, made?: UpdateWorkspaceProxyResponse): Shown {
  return { asking: asking === answered ? undefined : asking, tokens: tokensAfter(tokens, answered, made) };
}

function tokensAfter(
  tokens: Shown["tokens"],
  answered: Asking,
  made: UpdateWorkspaceProxyResponse | undefined,
): Shown["tokens"] {
  // The token before it of the same proxy is refused already.
  if (made !== undefined) return [...withoutProxy(tokens, made.proxy.id), made];
  return answered.what === "delete" ? withoutProxy(tokens, answered.proxy.id) : tokens;
}

export function withoutProxy(tokens: Shown["tokens"], id: string): Shown["tokens"] {
  return tokens.filter(({ proxy }) => proxy.id !== id);
}
