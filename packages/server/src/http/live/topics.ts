import type { ShareLevel } from "coder-protocol/rest/apps";
import type { DashboardTopic } from "coder-protocol/rest/dashboard";
import type { AgentPorts } from "../../apps/agent-ports.ts";
import type { AgentTerminals } from "../../apps/agent-terminals.ts";
import type { AuthenticatedUser, Authenticator } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import type { AgentNetwork } from "../../control/agent-network.ts";
import type { AgentRow } from "../../db/schema.ts";
import type { Tables } from "../../db/store.ts";
import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import type { Changes } from "../../workspaces/changes.ts";
import { parseWorkspaceQuery } from "../../workspaces/workspace-query.ts";
import type { Watchables, Watched } from "../streams/watched.ts";
import { portShareView } from "../views/port-shares.ts";
import { AgentLogLines } from "./agent-log-lines.ts";
import { AskedSource } from "./asked-source.ts";
import { type Entries, entriesOf } from "./entries.ts";
import type { FeedSource, Feeds } from "./feed.ts";
import type { ListTables } from "./list-rows.ts";
import type { OpenedTopic, TopicArguments } from "./subscriptions.ts";
import { MAX_ROWS, WorkspaceList, type WorkspaceListDeps } from "./workspace-list.ts";

const NETWORK_EVERY_MS = 1_000;
const HEALTH_EVERY_MS = 30_000;

export interface TopicsOptions extends WorkspaceListDeps {
  readonly feeds: Feeds;
  readonly authenticator: Pick<Authenticator, "reachableWorkspace" | "canReachAgent">;
  readonly tables: ListTables & Pick<Tables, "workspaces" | "agents" | "agentLogs">;
  readonly watchables: Watchables;
  readonly changes: Changes;
  readonly agentPorts: Pick<AgentPorts, "listening" | "shares">;
  readonly agentTerminals: Pick<AgentTerminals, "follow">;
  readonly maxShareLevel: ShareLevel;
  /** For owners of the deployment only. */
  readonly health: () => Promise<Readonly<Record<string, unknown>>>;
  /** Undefined once the user is deleted. */
  readonly me: (userId: string) => Promise<Readonly<Record<string, unknown>> | undefined>;
}

/** The topics of the dashboard's stream: the right that each requires, and the source of its data. */
export class Topics {
  readonly #options: TopicsOptions;

  constructor(options: TopicsOptions) {
    this.#options = options;
  }

  /** Throws DomainError if the user may not see the topic, or the arguments are invalid. */
  async open(auth: AuthenticatedUser, topic: DashboardTopic, args: TopicArguments): Promise<OpenedTopic> {
    switch (topic) {
      case "workspaces":
        return this.#workspaces(auth, args);
      case "workspace":
        return await this.#workspace(auth, text(args, "id"));
      case "health":
        return this.#health(auth);
      case "me":
        return this.#me(auth);
      default:
        return await this.#ofAgent(auth, topic, args);
    }
  }

  #workspaces(auth: AuthenticatedUser, args: TopicArguments): OpenedTopic {
    const { user } = auth;
    const q = text(args, "q", "");
    const query = parseWorkspaceQuery(q);
    if ("problem" in query) throw new DomainError("invalid", `The filter ${query.problem}`);
    const limit = Math.min(MAX_ROWS, Math.max(1, Math.trunc(Number(args["limit"] ?? MAX_ROWS)) || MAX_ROWS));
    // Owners of the deployment all see the same, unless the query is about themselves.
    const viewer = user.role === "owner" && query.owner !== "me" ? "owners" : user.id;
    return this.#opened(
      `workspaces:${viewer}:${limit}:${q}`,
      {},
      () => new WorkspaceList(this.#options, { user, query, limit }),
    );
  }

  async #workspace(auth: AuthenticatedUser, workspaceId: string): Promise<OpenedTopic> {
    const found = await this.#options.authenticator.reachableWorkspace(auth.user, workspaceId);
    if (found === undefined) throw notFound();
    return this.#opened(`workspace:${found.id}`, { workspaceId: found.id }, () =>
      this.#watched(this.#options.watchables.workspace(found.id), (data) => data as Record<string, unknown>),
    );
  }

  async #ofAgent(auth: AuthenticatedUser, topic: DashboardTopic, args: TopicArguments): Promise<OpenedTopic> {
    const { authenticator, watchables, tables, changes, network } = this.#options;
    const agent = await authenticator.canReachAgent(auth.user, text(args, "agent"));
    if (agent === undefined) throw notFound();
    const concerns = { agentId: agent.id, workspaceId: agent.workspace_id };
    const key = `${topic}:${agent.id}`;
    switch (topic) {
      case "agent-network":
        return this.#opened(key, concerns, () => polled(async () => network(agent.id) ?? {}, NETWORK_EVERY_MS));
      case "agent-metadata":
        return this.#opened(key, concerns, () => this.#watched(watchables.metadata(agent.id), byMetadataKey));
      case "agent-logs": {
        const after = Math.max(0, Math.trunc(Number(args["after"] ?? 0)) || 0);
        const source = { logs: tables.agentLogs, changes, agentId: agent.id, after };
        return this.#opened(`${key}:${after}`, concerns, () => new AgentLogLines(source));
      }
      case "terminals":
        return this.#asked(auth, agent, key, () => new AskedSource(async (request) => await this.#terminals(request)));
      default:
        return this.#asked(auth, agent, key, () => this.#ports(agent));
    }
  }

  async #terminals(request: TunnelRequest | undefined): Promise<Readonly<Record<string, unknown>>> {
    return request === undefined ? {} : { ...(await this.#options.agentTerminals.follow(request)) };
  }

  #ports(agent: AgentRow): AskedSource {
    const { agentPorts, changes, maxShareLevel } = this.#options;
    return new AskedSource(
      async (request) => ({
        ...(request === undefined
          ? { ports: [] }
          : await agentPorts.listening(agent, request, { shared: true, ports: [] })),
        shares: (await agentPorts.shares(agent)).map((row) => portShareView(row, maxShareLevel)),
        max_share_level: maxShareLevel,
      }),
      (changed) => changes.subscribe(`workspace:${agent.workspace_id}`, changed),
    );
  }

  /** The agent is asked with the credentials of one of the followers. */
  #asked(auth: AuthenticatedUser, agent: AgentRow, key: string, source: () => AskedSource): OpenedTopic {
    const request = { agentId: agent.id, keyId: auth.key.id, token: auth.token, userId: auth.user.id };
    let leave: (() => void) | undefined;
    return {
      concerns: { agentId: agent.id, workspaceId: agent.workspace_id },
      feed: () => {
        const feed = this.#options.feeds.open(key, source);
        if (feed.source instanceof AskedSource) leave = feed.source.askAs(request);
        return feed;
      },
      close: () => leave?.(),
    };
  }

  #health(auth: AuthenticatedUser): OpenedTopic {
    if (auth.user.role !== "owner") throw notFound();
    return this.#opened("health", {}, () => polled(() => this.#options.health(), HEALTH_EVERY_MS));
  }

  #me(auth: AuthenticatedUser): OpenedTopic {
    const { changes, me } = this.#options;
    const userId = auth.user.id;
    return this.#opened(`me:${userId}`, {}, () => ({
      watch: (changed) => changes.subscribe(`user:${userId}`, changed),
      read: async () => {
        const data = await me(userId);
        return data === undefined ? undefined : entriesOf(data);
      },
    }));
  }

  #watched(watched: Watched, entries: (data: unknown) => Readonly<Record<string, unknown>>): FeedSource {
    return {
      watch: (changed) => this.#options.changes.subscribe(watched.topic, changed),
      everyMs: watched.repeatMs,
      read: async () => {
        const current = await watched.read();
        return current === undefined ? undefined : entriesOf(entries(current.data));
      },
    };
  }

  #opened(key: string, concerns: OpenedTopic["concerns"], source: () => FeedSource): OpenedTopic {
    return { concerns, feed: () => this.#options.feeds.open(key, source) };
  }
}

function polled(read: () => Promise<Readonly<Record<string, unknown>> | AgentNetwork>, everyMs: number): FeedSource {
  return { everyMs, read: async (): Promise<Entries> => entriesOf({ ...(await read()) }) };
}

/** The index in each key keeps the order of the list. */
function byMetadataKey(data: unknown): Readonly<Record<string, unknown>> {
  const list = data as readonly { readonly description: { readonly key: string } }[];
  return Object.fromEntries(
    list.map((item, index) => [`${String(index).padStart(3, "0")}:${item.description.key}`, item]),
  );
}

/** An argument as text, in lower case if it is an id. Throws DomainError if it is missing. */
function text(args: TopicArguments, name: string, absent?: string): string {
  const value = args[name] ?? absent;
  if (typeof value !== "string") throw new DomainError("invalid", `The argument "${name}" is missing`);
  return name === "q" ? value : value.toLowerCase();
}
