import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { chooseAgent, findWorkspace } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import type { AgentTerminal } from "coder-protocol/rest/terminals";
import { UsageError } from "../errors/usage-error.ts";

/** @param name `[owner/]workspace[.agent]`. Rejects with ERR_NOT_FOUND where the deployment or the agent lists none. */
export async function listTerminals(
  deployment: Deployment,
  name: string,
  signal: AbortSignal,
): Promise<readonly AgentTerminal[]> {
  return terminalsOf(deployment, await agentId(deployment, name, signal), signal);
}

/**
 * @param which The id, or a prefix that no other terminal's id has. Rejects with ERR_NOT_FOUND, and with UsageError for an empty
 *   one.
 */
export async function endTerminal(
  deployment: Deployment,
  name: string,
  which: string,
  signal: AbortSignal,
): Promise<void> {
  if (which === "") throw new UsageError(`an empty id names no terminal; "coder terminals list ${name}" shows the ids`);
  const agent = await agentId(deployment, name, signal);
  const found = (await terminalsOf(deployment, agent, signal)).filter(({ id }) => id.startsWith(which.toLowerCase()));
  const [terminal] = found;
  if (terminal === undefined || found.length > 1) {
    const what = terminal === undefined ? "no terminal" : "more than one terminal";
    throw new ClientError("ERR_NOT_FOUND", `The workspace has ${what} "${which.slice(0, 40)}"`, {
      detail: `"coder terminals list ${name}" shows them`,
    });
  }
  await deployment.call(`/api/v2/workspaceagents/${agent}/terminals/${terminal.id}`, { method: "DELETE", signal });
}

async function agentId(deployment: Deployment, name: string, signal: AbortSignal): Promise<string> {
  const parsed = parseWorkspaceName(name);
  return chooseAgent(await findWorkspace(deployment, parsed, { signal }), parsed.agent).id;
}

async function terminalsOf(deployment: Deployment, agent: string, signal: AbortSignal): Promise<AgentTerminal[]> {
  const body = (await deployment.call(`/api/v2/workspaceagents/${agent}/terminals`, { signal })) as
    | { terminals?: unknown; supported?: unknown }
    | undefined;
  if (!Array.isArray(body?.terminals) || !body.terminals.every(isTerminal))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected response: expected a list of terminals");
  if (body.supported !== false) return body.terminals;
  throw new ClientError("ERR_NOT_FOUND", "The workspace's agent does not list its terminals", {
    detail: "update the agent: stock agents have no such list",
  });
}

const TERMINAL_TEXTS = ["id", "command", "title", "started_at", "last_attached_at", "foreground", "owner"] as const;
const TERMINAL_COUNTS = ["viewers", "cols", "rows"] as const;

function isTerminal(value: unknown): value is AgentTerminal {
  if (typeof value !== "object" || value === null) return false;
  const terminal = value as Readonly<Record<string, unknown>>;
  const { kept_until: keptUntil, viewer_names: viewers } = terminal;
  return (
    TERMINAL_TEXTS.every((name) => typeof terminal[name] === "string") &&
    TERMINAL_COUNTS.every((name) => Number.isSafeInteger(terminal[name])) &&
    (keptUntil === null || typeof keptUntil === "string") &&
    Array.isArray(viewers) &&
    viewers.every((name) => typeof name === "string")
  );
}
