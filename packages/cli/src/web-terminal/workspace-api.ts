/**
 * The routes of the deployment's API that the terminal's page uses, for one workspace. What concerns the workspace itself is
 * asked of its agent, through the tunnel of this command; the rest is asked of the deployment with the user's login, which the
 * page never sees.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { ClientError } from "coder-client/base/client-error";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { PeerPathReport } from "coder-client/node/path-report";
import type { Deployment } from "coder-client/rest/deployment";
import type { ErrorBody } from "coder-protocol/rest/common";
import type { TerminalsResponse } from "coder-protocol/rest/terminals";
import type { Logger } from "coder-server/base/log";
import { failureOf, HttpFailure } from "coder-server/http/failure";
import { drainBody, transferFile } from "coder-server/http/file-transfer";
import type { AgentFiles } from "coder-server/tunnels/agent-files";
import type { AgentHttp } from "coder-server/tunnels/agent-http";
import type { TunnelRequest } from "coder-server/tunnels/agent-tunnels";

/** Files of the user's own machine go to the user's own workspace, so only the agent's limits count. */
const NO_UPLOAD_LIMIT = Number.MAX_SAFE_INTEGER;
/** Pages give up after 30 s. */
const DEPLOYMENT_TIMEOUT_MS = 20_000;
const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const AGENT = new RegExp(`^/api/v2/workspaceagents/(${UUID})(?:/(network|terminals|files))?(?:/(${UUID}))?$`);

export interface ServedWorkspace {
  readonly id: string;
  readonly ownerName: string;
  readonly name: string;
}

export interface WorkspaceApiParts {
  readonly workspace: ServedWorkspace;
  readonly user: { readonly id: string; readonly username: string };
  readonly deployment: Pick<Deployment, "call">;
  /** The agent that the tunnel leads to now. */
  readonly agentId: () => string;
  /** Undefined while there is no connection. */
  readonly connection: () => Pick<WorkspaceConnection, "pathReport"> | undefined;
  readonly agentHttp: Pick<AgentHttp, "terminals" | "endTerminal">;
  readonly files: AgentFiles;
  readonly log: Logger;
}

export class WorkspaceApi {
  readonly #parts: WorkspaceApiParts;

  constructor(parts: WorkspaceApiParts) {
    this.#parts = parts;
  }

  /** Answers a request of the page; the caller has checked that it is one. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    try {
      const body = await this.#answer(request, response, url);
      if (body !== undefined) sendJson(response, 200, body);
    } catch (error) {
      drainBody(request);
      this.#fail(response, error);
    }
  }

  /** @returns the body of the answer; undefined if it was sent. */
  async #answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<unknown> {
    const { workspace, deployment } = this.#parts;
    const { method = "GET" } = request;
    const { pathname } = url;
    const signal = AbortSignal.timeout(DEPLOYMENT_TIMEOUT_MS);
    switch (`${method} ${pathname}`) {
      case `GET /api/v2/users/${workspace.ownerName}/workspace/${workspace.name}`:
        return await deployment.call(pathname, { signal });
      case `POST /api/v2/workspaces/${workspace.id}/usage`:
        request.resume();
        await deployment.call(pathname, { method: "POST", body: {}, signal });
        return noContent(response);
      case "GET /api/v2/regions":
        return { regions: [] }; // the tunnel of this command carries the terminals, whatever the region
      case "GET /api/v2/applications/host":
        return { host: "" }; // apps are the deployment's, under its own scheme
    }
    const [, agentId, part, id] = AGENT.exec(pathname.toLowerCase()) ?? [];
    if (agentId === undefined || agentId !== this.#parts.agentId()) throw new HttpFailure(404, "Resource not found");
    const tunnel = { agentId, keyId: "", token: "" };
    switch (`${method} ${part ?? ""}${id === undefined ? "" : "/id"}`) {
      case "GET ":
        return await deployment.call(pathname, { signal });
      case "GET network":
        return networkOf(this.#parts.connection()?.pathReport());
      case "GET terminals":
        return await this.#terminals(tunnel);
      case "DELETE terminals/id":
        return (await this.#ask(this.#parts.agentHttp.endTerminal(tunnel, id ?? "")))
          ? noContent(response)
          : notFound();
      case "GET files":
      case "PUT files":
        return await transferFile(
          { ...this.#parts, maxUploadBytes: NO_UPLOAD_LIMIT },
          { request, response, tunnel, query: url.searchParams },
        );
      default:
        return notFound();
    }
  }

  /** The agent knows owners by id; the page compares names, and opens the user's own terminals only. */
  async #terminals(tunnel: TunnelRequest): Promise<TerminalsResponse> {
    const { user, agentHttp } = this.#parts;
    const { terminals, ...rest } = await this.#ask(agentHttp.terminals(tunnel));
    return {
      ...rest,
      terminals: terminals.map((one) => ({ ...one, owner: one.owner === user.id ? user.username : one.owner })),
    };
  }

  async #ask<Answer>(asked: Promise<Answer>): Promise<Answer> {
    try {
      return await asked;
    } catch (error) {
      this.#parts.log.info({ err: error }, "asking the agent failed");
      throw new HttpFailure(502, "The agent did not answer", { detail: "Try again once the workspace is reachable." });
    }
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const { status, body } = failureOf(error) ?? failureOfDeployment(error) ?? this.#unexpected(error);
    sendJson(response, status, body);
  }

  #unexpected(error: unknown): HttpFailure {
    this.#parts.log.warn({ err: error }, "a request of the page failed");
    return new HttpFailure(502, "The deployment cannot be reached", { detail: "The page tries again." });
  }
}

/** A refusal of the deployment keeps its meaning; everything else that it may answer is not the page's fault. */
function failureOfDeployment(error: unknown): HttpFailure | undefined {
  if (!(error instanceof ClientError)) return undefined;
  const status = [401, 403, 404, 409, 429].find((one) => one === error.status) ?? 502;
  return new HttpFailure(status, error.message, { detail: error.detail });
}

/** In the form of the deployment's own answer: one client, which is this command. */
function networkOf(report: PeerPathReport | undefined): unknown {
  const kind = report?.path?.kind ?? "unknown";
  const rttMs =
    kind === "direct" ? report?.candidates.find(({ state }) => state === "in-use")?.rttMs : report?.relayRttMs;
  const counted = { direct: 0, relayed: 0, unknown: 0, [kind]: 1 };
  return { home: null, connections: counted, counted_by: "clients", median_latency_ms: rttMs, clients: [] };
}

function notFound(): never {
  throw new HttpFailure(404, "Route not found.");
}

function noContent(response: ServerResponse): undefined {
  response.writeHead(204).end();
}

export function sendJson(response: ServerResponse, status: number, body: unknown | ErrorBody): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(text);
}
