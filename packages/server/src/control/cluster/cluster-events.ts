/**
 * Passes events at one server to the others: rights that end, and changes that watchers follow. The others publish both as if
 * they had happened locally.
 */
import { z } from "zod";
import type { AccessEvent, AccessEvents } from "../../auth/access-events.ts";
import type { Logger } from "../../base/log.ts";
import { parsedJson } from "../../base/parsed-json.ts";
import type { AccessOutboxRow } from "../../db/access-outbox.ts";
import type { AgentLogs } from "../../db/agent-logs.ts";
import type { Change, Changes } from "../../workspaces/changes.ts";
import type { EventChange } from "./outbox.ts";
import type { EventRow } from "./rows.ts";

const MAX_IDS = 64;
/** Log lines of an agent that are read at one time, in the form that followers get. */
const LOGS_PER_READ = 500;

const id = z.uuid();
const keyId = z.string().min(1).max(64);
const agentIds = z.array(id).max(MAX_IDS).readonly();

const accessEvent: z.ZodType<AccessEvent> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("key-revoked"), keyId, userId: id }),
  z.object({ kind: z.literal("user-gone"), userId: id }),
  z.object({ kind: z.literal("role-changed"), userId: id }),
  z.object({ kind: z.literal("workspace-deleted"), workspaceId: id, agentIds }),
  z.object({ kind: z.literal("workspace-stopped"), workspaceId: id, agentIds }),
  z.object({ kind: z.literal("agent-token-rotated"), agentId: id }),
  z.object({ kind: z.literal("proxy-revoked"), proxyId: id }),
  z.object({
    kind: z.literal("browser-only"),
    userId: id.exactOptional(),
    agentIds: agentIds.exactOptional(),
    everyone: z.literal(true).exactOptional(),
  }),
]);

/** Like Change, but without the lines of a log, which are read from the store. */
const remoteChange = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("workspace"), workspaceId: id }),
  z.object({ kind: z.literal("agent-logs"), agentId: id, after: z.int() }),
  z.object({ kind: z.literal("agent-metadata"), agentId: id }),
  z.object({ kind: z.literal("user"), userId: id }),
  z.object({ kind: z.literal("workspace-proxies") }),
  z.object({ kind: z.literal("connection-rule") }),
]);

const relayKey = z.string().regex(/^[0-9a-f]{64}$/);

/** The keys that a server's health check uses at relays: ProbeKeys of the relay. */
export interface CheckKeys {
  onLend(listener: (publicKeyHex: string) => void): void;
  lentBySibling(publicKeyHex: string): void;
}

export interface ClusterEventsOptions {
  readonly checkKeys: CheckKeys;
  readonly accessEvents: AccessEvents;
  readonly changes: Changes;
  readonly agentLogs: Pick<AgentLogs, "list">;
  readonly log: Logger;
}

export class ClusterEvents {
  readonly #options: ClusterEventsOptions;
  /** Agents whose lines are being read, with the id after which a further read has to start, if one was requested meanwhile. */
  readonly #readingLogs = new Map<string, number | undefined>();
  #tell: (event: EventChange) => void = () => undefined;
  #serial = 0;
  #isApplying = false;

  constructor(options: ClusterEventsOptions) {
    this.#options = options;
  }

  /** Starts to pass events of this server to `tell`. */
  start(tell: (event: EventChange) => void): void {
    const { accessEvents, changes, checkKeys } = this.#options;
    this.#tell = tell;
    checkKeys.onLend((key) => tell({ key: `check ${key}`, kind: "check-key", body: JSON.stringify(key) }));
    accessEvents.subscribe((event, outboxId) => {
      // Each under its own key, since each takes a right away.
      const key = `access ${outboxId ?? ++this.#serial}`;
      if (!this.#isApplying) tell({ key, kind: "access", body: JSON.stringify(event), outboxId });
    });
    changes.subscribeAll((change) => {
      if (!this.#isApplying) tell(this.#changeEvent(change));
    });
  }

  /** Publishes an event that was stored with its change by a server that did not publish it in time. */
  adopt({ id: outboxId, body }: AccessOutboxRow): void {
    this.apply({ kind: "access", body });
    this.#tell({ key: `access ${outboxId}`, kind: "access", body, outboxId });
  }

  /** Publishes an event of another server. */
  apply({ kind, body }: Omit<EventRow, "rev">): void {
    if (kind === "access") {
      const event = accessEvent.safeParse(parsedJson(body));
      if (event.success) this.#publish(() => this.#options.accessEvents.publish(event.data));
      else this.#refused(kind);
    } else if (kind === "change") {
      const change = remoteChange.safeParse(parsedJson(body));
      if (!change.success) this.#refused(kind);
      else if (change.data.kind === "agent-logs") this.#applyLogs(change.data.agentId, change.data.after);
      else {
        const local = change.data;
        this.#publish(() => this.#options.changes.publish(local));
      }
    } else if (kind === "check-key") {
      const key = relayKey.safeParse(parsedJson(body));
      if (key.success) this.#options.checkKeys.lentBySibling(key.data);
      else this.#refused(kind);
    } // a later release may have further kinds
  }

  /** Lines are read only if there are followers, and for each agent by one read at a time. */
  #applyLogs(agentId: string, after: number): void {
    if (!this.#options.changes.isWatched(`agent-logs:${agentId}`)) return;
    const isReading = this.#readingLogs.has(agentId);
    this.#readingLogs.set(agentId, isReading ? Math.min(after, this.#readingLogs.get(agentId) ?? after) : undefined);
    if (!isReading) void this.#readLogs(agentId, after);
  }

  async #readLogs(agentId: string, after: number): Promise<void> {
    const { agentLogs, changes, log } = this.#options;
    try {
      for (let from: number | undefined = after; from !== undefined; ) {
        const logs = await agentLogs.list(agentId, { after: from, limit: LOGS_PER_READ });
        if (logs.length > 0) this.#publish(() => changes.publish({ kind: "agent-logs", agentId, logs }));
        if (logs.length === LOGS_PER_READ) from = logs.at(-1)!.id;
        else {
          from = this.#readingLogs.get(agentId);
          this.#readingLogs.set(agentId, undefined);
        }
      }
    } catch (error) {
      log.warn({ err: error, agent: agentId }, "log lines of another server were not read");
    } finally {
      this.#readingLogs.delete(agentId);
    }
  }

  #changeEvent(change: Change): EventChange {
    if (change.kind !== "agent-logs") {
      const body = JSON.stringify(change);
      return { key: body, kind: "change", body };
    }
    const { kind, agentId, logs } = change;
    const after = (logs[0]?.id ?? 1) - 1;
    return { key: `${kind} ${agentId} ${after}`, kind: "change", body: JSON.stringify({ kind, agentId, after }) };
  }

  /** While an event of another server is published, this server's own listeners get it but do not pass it on. */
  #publish(publish: () => void): void {
    this.#isApplying = true;
    try {
      publish();
    } catch (error) {
      this.#options.log.error({ err: error }, "an event of another server was not handled");
    } finally {
      this.#isApplying = false;
    }
  }

  #refused(kind: string): void {
    this.#options.log.warn({ kind }, "an event of another server is not valid");
  }
}
