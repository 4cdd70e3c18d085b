/** The claims that an app token makes about a decision. */
import { randomUUID } from "node:crypto";
import type { AppGrantTarget } from "coder-protocol/rest/proxy-apps";
import type { AppTokenFacts } from "../base/app-token.ts";
import type { UserRow } from "../db/schema.ts";
import type { AppTarget } from "./decision.ts";
import { type AppProgram, parseAppLabel } from "./label.ts";
import type { ProxiedApp } from "./proxied-apps.ts";
import type { ResolvedApp } from "./resolver.ts";
import type { TerminalRight } from "./terminal-rights.ts";
import type { FoundVisitor } from "./visitors.ts";

export function terminalFacts(
  { agent, endsAt, owner, user, workspace }: TerminalRight,
  jti: string,
  state: ResolvedApp["state"],
): AppTokenFacts {
  return {
    jti,
    access_method: "terminal",
    base_path: `/api/v2/workspaceagents/${agent.id}/pty`,
    app_prefix: "",
    username_or_id: "",
    workspace_name_or_id: "",
    agent_name_or_id: agent.id,
    app_slug_or_port: "",
    user_id: user.id,
    workspace_id: workspace.id,
    agent_id: agent.id,
    app_url: "",
    grant: {
      visitor: { id: user.id, role: user.role, username: user.username, email: user.email },
      ...namesOf({ owner, workspace, agent, state }),
      ends_at: endsAt,
    },
  };
}

export function appFacts(
  app: ProxiedApp,
  found: ResolvedApp,
  visitor: FoundVisitor | undefined,
  basePath: string,
): AppTokenFacts {
  const { agent, owner, target, workspace } = found;
  const ends = [visitor?.endsAt, target.shareEndsAt].filter((at) => at !== undefined);
  const label = app.method === "subdomain" ? parseAppLabel(app.label) : undefined;
  const named = label === undefined || "error" in label ? undefined : label;
  return {
    jti: randomUUID(),
    access_method: app.method,
    base_path: basePath,
    app_prefix: named?.prefix ?? "",
    username_or_id: owner.username,
    workspace_name_or_id: workspace.name,
    agent_name_or_id: agent.name,
    app_slug_or_port: app.method === "path" ? app.slug : programText(named?.program),
    user_id: visitor?.visitor.userId ?? "",
    workspace_id: workspace.id,
    agent_id: agent.id,
    app_url: `${target.secure ? "https" : "http"}://127.0.0.1:${target.port}${target.basePath}${target.query}`,
    grant: {
      target: targetOf(target),
      visitor: visitor === undefined ? undefined : { ...visitor.identity, role: visitor.visitor.role },
      ...namesOf(found),
      ends_at: ends.length === 0 ? undefined : Math.min(...ends),
    },
  };
}

function programText(program: AppProgram | undefined): string {
  if (program === undefined) return "";
  return program.kind === "slug" ? program.slug : `${program.port}${program.secure ? "s" : ""}`;
}

function namesOf(found: {
  owner: UserRow;
  workspace: ResolvedApp["workspace"];
  agent: ResolvedApp["agent"];
  state: ResolvedApp["state"];
}) {
  const { agent, owner, state, workspace } = found;
  return {
    owner: { id: owner.id, username: owner.username },
    workspace: { id: workspace.id, name: workspace.name },
    agent: { id: agent.id, name: agent.name },
    state,
  };
}

function targetOf(target: AppTarget): AppGrantTarget {
  return {
    workspace_id: target.workspaceId,
    owner_id: target.ownerId,
    agent_id: target.agentId,
    port: target.port,
    secure: target.secure,
    base_path: target.basePath,
    query: target.query,
    level: target.level,
    share_ends_at: target.shareEndsAt,
    host_header: target.hostHeader,
    cors: target.cors,
    cors_origins: [...target.corsOrigins],
    also: [...target.also],
    identity_headers: target.identityHeaders,
  };
}
