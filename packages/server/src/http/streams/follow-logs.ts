import type { DecidedHolder } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import { CLOSE_POLICY, type TextSocket } from "../../base/text-sockets.ts";
import type { AgentLogs } from "../../db/agent-logs.ts";
import type { AgentLogRow } from "../../db/schema.ts";
import type { Changes } from "../../workspaces/changes.ts";
import { agentLogView } from "../views/agents.ts";

const LOGS_PER_MESSAGE = 500;

export interface LogFollowersOptions {
  readonly agentLogs: AgentLogs;
  readonly changes: Changes;
  readonly access: AccessWatch;
}

/** Sends the logs of agents to their followers. */
export class LogFollowers {
  readonly #options: LogFollowersOptions;

  constructor(options: LogFollowersOptions) {
    this.#options = options;
  }

  /**
   * Sends an agent's logs after id `after`, then each batch as it is stored, as JSON arrays, until the socket closes. The first
   * message is sent at once; it is an empty array if there are no logs.
   */
  async follow(socket: TextSocket, holder: DecidedHolder, agentId: string, after: number): Promise<void> {
    const { agentLogs, changes, access } = this.#options;
    // Collects what is stored while the history is read. An agent's logs are bounded, and so is this.
    let waiting: AgentLogRow[] | undefined = [];
    let sent = after;
    const send = (logs: readonly AgentLogRow[]): void => {
      const fresh = logs.filter((log) => log.id > sent);
      for (let start = 0; start < fresh.length; start += LOGS_PER_MESSAGE) {
        socket.send(JSON.stringify(fresh.slice(start, start + LOGS_PER_MESSAGE).map(agentLogView)));
      }
      sent = fresh.at(-1)?.id ?? sent;
    };
    const leaveChanges = changes.subscribe(`agent-logs:${agentId}`, (change) => {
      if (change.kind !== "agent-logs") return;
      if (waiting === undefined) send(change.logs);
      else waiting.push(...change.logs);
    });
    const leaveAccess = access.start(holder, { lost: () => socket.close(CLOSE_POLICY, "access ended") });
    socket.onClose(() => {
      leaveChanges();
      leaveAccess();
    });

    for (;;) {
      const page = await agentLogs.list(agentId, { after: sent, limit: LOGS_PER_MESSAGE });
      if (page.length === 0 && sent === after) socket.send("[]");
      send(page);
      if (page.length < LOGS_PER_MESSAGE) break;
    }
    const missed = waiting;
    waiting = undefined;
    send(missed);
  }
}
