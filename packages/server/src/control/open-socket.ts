/** What the control plane keeps of a control connection: what it was opened for, and the way to end it. */
import type { RpcServiceImpl } from "coder-protocol/drpc/async";
import type { PeerAuth } from "./peer-auth.ts";
import type { TailnetServiceDeps } from "./tailnet-service.ts";

export interface SessionPlan {
  readonly id: string;
  readonly auth: PeerAuth;
  /** Of a client that may reach one agent. */
  readonly onlyAgent?: string | undefined;
  /** Whose share of the connections it takes. */
  readonly userId: string;
  readonly address: string;
  readonly services: (deps: TailnetServiceDeps) => RpcServiceImpl[];
  /** Clients are pinged by WebSocket, agents inside yamux. */
  readonly pingsSocket: boolean;
  /** Runs when the connection is over; the server waits for it before it closes its store. */
  readonly onClosed?: () => Promise<void>;
}

export interface OpenSocket {
  readonly id: string;
  readonly address: string;
  readonly auth: PeerAuth;
  readonly onlyAgent: string | undefined;
  end(reason: string): void;
  readonly closed: Promise<void>;
}
