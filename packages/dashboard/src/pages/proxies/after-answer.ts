/** What the page of proxies shows after the deployment has answered a dialog's request. */
import type { UpdateWorkspaceProxyResponse, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";

/** An open dialog; a new object each time one is opened. */
export type Asking =
  | { readonly what: "create" }
  | { readonly what: "edit" | "token" | "delete"; readonly proxy: WorkspaceProxy };

export interface Shown {
  readonly asking: Asking | undefined;
  /** At most one per proxy, the latest last. */
  readonly tokens: readonly UpdateWorkspaceProxyResponse[];
}

/** The user may have left the dialog before the answer arrived and opened another one, which then stays. */
export function afterAnswer({ asking, tokens }: Shown, answered: Asking, made?: UpdateWorkspaceProxyResponse): Shown {
  return { asking: asking === answered ? undefined : asking, tokens: tokensAfter(tokens, answered, made) };
}

function tokensAfter(
  tokens: Shown["tokens"],
  answered: Asking,
  made: UpdateWorkspaceProxyResponse | undefined,
): Shown["tokens"] {
  // The same proxy's earlier token is already refused.
  if (made !== undefined) return [...withoutProxy(tokens, made.proxy.id), made];
  return answered.what === "delete" ? withoutProxy(tokens, answered.proxy.id) : tokens;
}

export function withoutProxy(tokens: Shown["tokens"], id: string): Shown["tokens"] {
  return tokens.filter(({ proxy }) => proxy.id !== id);
}
