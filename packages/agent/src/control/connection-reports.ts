/**
 * Reports each client of the SSH service, and why it disconnected, to the control plane, which keeps the records.
 * Outlives connections.
 */
import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { uuidToBytes } from "coder-protocol/addresses";
import type { RpcSession } from "coder-protocol/drpc/async";
import { Agent, Connection_Action, Connection_Type } from "coder-protocol/gen/agent_pb.js";
import { Bell } from "wg-userspace/async/bell";
import type { Logger } from "wg-userspace/base/ports";
import type { ConnectionEnd } from "../services/ssh/connection.ts";
import { isUnknownRpc } from "./unknown-rpc.ts";

/** The oldest are dropped first. Only a long time without a connection can let this many pile up. */
const MAX_WAITING = 256;

const TYPES = {
  ssh: Connection_Type.SSH,
  vscode: Connection_Type.VSCODE,
  jetbrains: Connection_Type.JETBRAINS,
} as const;

export type ReportedType = keyof typeof TYPES;

interface Report {
  readonly id: string;
  readonly action: Connection_Action;
  readonly type: ReportedType;
  readonly address: string;
  readonly atMs: number;
  readonly statusCode: number;
  readonly reason: string;
}

/** A clean end is "normal exit"; an end by a signal carries the signal's name. */
export function describeEnd(end: ConnectionEnd): { readonly statusCode: number; readonly reason: string } {
  if (end.failure !== undefined) return { statusCode: 255, reason: end.failure };
  if (end.exit === undefined) return { statusCode: 0, reason: "normal exit" };
  if ("signal" in end.exit) return { statusCode: 255, reason: `ended by signal ${signalName(end.exit.signal)}` };
  const { status } = end.exit;
  return { statusCode: status, reason: status === 0 ? "normal exit" : `exit status ${status}` };
}

/** SSH names signals without SIG (RFC 4254 §6.10). */
function signalName(signal: string): string {
  return signal.startsWith("SIG") ? signal : `SIG${signal}`;
}

export class ConnectionReports {
  readonly #now: () => number;
  readonly #logger: Logger;
  readonly #waiting: Report[] = [];
  readonly #added = new Bell();
  /** Servers before version 2.4 keep no records. */
  #unknown = false;

  constructor(options: { readonly now: () => number; readonly logger: Logger }) {
    this.#now = options.now;
    this.#logger = options.logger;
  }

  get unsent(): boolean {
    return this.#waiting.length > 0;
  }

  /** A client has connected. Call the result when it has disconnected. */
  opened(address: string, type: ReportedType): (end: ConnectionEnd) => void {
    const id = randomUUID();
    const report = (action: Connection_Action, statusCode: number, reason: string): void =>
      this.#add({ id, action, type, address, atMs: this.#now(), statusCode, reason });
    report(Connection_Action.CONNECT, 0, "");
    return (end) => {
      const { statusCode, reason } = describeEnd(end);
      this.#logger.log("info", "ssh client disconnected", {
        peer: address,
        connect_type: type,
        disconnect_reason: reason,
        disconnect_expected: end.failure === undefined,
      });
      report(Connection_Action.DISCONNECT, statusCode, reason);
    };
  }

  /**
   * Sends reports over one connection until the signal aborts; rejects when a report fails, which the next connection then
   * repeats.
   */
  async send(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = this.#waiting[0];
      if (next === undefined) {
        await this.#added.next(signal);
        continue;
      }
      try {
        await rpc.unary(
          Agent.method.reportConnection,
          {
            connection: {
              id: uuidToBytes(next.id),
              action: next.action,
              type: TYPES[next.type],
              appName: next.type,
              timestamp: timestampFromMs(next.atMs),
              ip: next.address,
              statusCode: next.statusCode,
              reason: next.reason,
            },
          },
          { signal },
        );
      } catch (error) {
        if (!isUnknownRpc(error)) throw error;
        this.#unknown = true;
        this.#waiting.length = 0;
        continue;
      }
      if (this.#waiting[0] === next) this.#waiting.shift();
    }
  }

  #add(report: Report): void {
    if (this.#unknown) return;
    this.#waiting.push(report);
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
    this.#added.ring();
  }
}
