/** Log lines about connections to agents and about the ends of clients. */
import { uuidFromBytes } from "coder-protocol/addresses";
import { type Connection, Connection_Action } from "coder-protocol/gen/agent_pb.js";
import { SESSION_ID_KEY } from "coder-protocol/session-id";
import type { Logger } from "../base/log.ts";
import { ConnectionHolders } from "./connection-holders.ts";
import type { Coordinator } from "./coordinator.ts";
import type { PeerAuth } from "./peer-auth.ts";

const MAX_REASON_LENGTH = 256;
const MAX_APP_NAME_LENGTH = 64;

export class ConnectionLog {
  readonly #coordinator: Pick<Coordinator, "sourceAt">;
  readonly #log: Logger;
  readonly #holders = new ConnectionHolders();

  constructor(coordinator: Pick<Coordinator, "sourceAt">, log: Logger) {
    this.#coordinator = coordinator;
    this.#log = log;
  }

  /** Logs a connection that an agent reports, with its holder: the address is that of a tunnel, and the tunnel has a holder. */
  reported(agentId: string, connection: Connection, type: string): void {
    const id = uuidFromBytes(connection.id) ?? "";
    const ended = connection.action === Connection_Action.DISCONNECT;
    const known = ended ? this.#holders.ended(agentId, id) : undefined;
    const client = known ?? this.#coordinator.sourceAt(agentId, connection.ip);
    if (!ended && client !== undefined) this.#holders.began(agentId, id, client);
    const who = {
      [SESSION_ID_KEY]: client?.sessionId,
      holder: client?.holder ?? "unknown",
      agent: agentId,
      connect_type: connection.appName.slice(0, MAX_APP_NAME_LENGTH) || type,
    };
    if (!ended) {
      this.#log.info(who, "connected to an agent");
      return;
    }
    const reason = (connection.reason ?? "").slice(0, MAX_REASON_LENGTH);
    this.#log.info(
      {
        ...who,
        disconnect_reason: reason,
        disconnect_expected: reason === "normal exit",
        disconnect_initiator: "agent",
        disconnect_detail: `status ${connection.statusCode}`,
      },
      "disconnected from an agent",
    );
  }

  /** Logs why a client's control connection ended, with the session id that it announced. */
  clientEnded(
    client: { readonly auth: PeerAuth; readonly userId: string },
    endedFor: string | undefined,
    failure: string | undefined,
  ): void {
    const { sessionId } = client.auth;
    if (sessionId === undefined) return;
    this.#log.info(
      {
        [SESSION_ID_KEY]: sessionId,
        user: client.userId,
        connect_type: "coordinate",
        disconnect_reason: endedFor ?? (failure === undefined ? "normal exit" : "connection lost"),
        disconnect_expected: endedFor !== undefined || failure === undefined,
        disconnect_initiator: endedFor !== undefined ? "server" : failure === undefined ? "client" : "network",
        disconnect_detail: failure ?? "",
      },
      "client disconnected",
    );
  }
}
