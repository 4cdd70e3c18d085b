import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import type { ApiKeyWithOwner } from "coder-protocol/rest/api-keys";

const NANOSECONDS_PER_MS = 1_000_000;

/** Returns the whole token, which is shown only this once. */
export async function createToken(
  deployment: Deployment,
  user: string,
  options: { readonly name: string; readonly lifetimeMs: number | undefined },
  signal: AbortSignal,
): Promise<string> {
  const body = (await deployment.call(`/api/v2/users/${encodeURIComponent(user)}/keys/tokens`, {
    method: "POST",
    body: { lifetime: (options.lifetimeMs ?? 0) * NANOSECONDS_PER_MS, scope: "all", token_name: options.name },
    signal,
  })) as { key?: unknown } | undefined;
  if (typeof body?.key === "string") return body.key;
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "the deployment's answer has no token");
}

export async function listTokens(
  deployment: Deployment,
  all: boolean,
  signal: AbortSignal,
): Promise<ApiKeyWithOwner[]> {
  const body = await deployment.call("/api/v2/users/me/keys/tokens", { query: { include_all: all }, signal });
  if (body === null || body === undefined) return [];
  if (Array.isArray(body)) return body as ApiKeyWithOwner[];
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected a list of tokens");
}

/** Removes a token by name, id or the token itself. Rejects with ERR_NOT_FOUND when none matches. */
export async function removeToken(deployment: Deployment, which: string, signal: AbortSignal): Promise<void> {
  const tokens = await listTokens(deployment, false, signal);
  const id = which.split("-")[0];
  const token =
    tokens.find((one) => one.token_name === which) ?? tokens.find((one) => one.id === which || one.id === id);
  if (token === undefined) {
    throw new ClientError(
      "ERR_NOT_FOUND",
      `You have no token "${which.length > 20 ? `${which.slice(0, 10)}…` : which}"`,
      {
        detail: '"coder tokens list" shows yours',
      },
    );
  }
  await deployment.call(`/api/v2/users/me/keys/${token.id}`, { method: "DELETE", signal });
}
