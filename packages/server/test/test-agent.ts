/** The agent's side of the control plane: which clients are in its tunnel, over any number of connections. */

import { create } from "@bufbuild/protobuf";
import type { RpcConnection } from "coder-client/control/rpc-connection";
import { TailnetSession } from "coder-client/control/tailnet-session";
import { PeerProgramming, type PeerUpdate } from "coder-client/node/peer-programming";
import { NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import { nodeFromProto } from "coder-protocol/tailnet/node";
import { expect } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { silentLogger } from "wg-userspace/base/ports";
import { agentNode, dial } from "./peers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";

export class TestAgent {
  readonly #agentId: string;
  readonly #token: string;
  /** Every client's tunnel carries packets, so none ends on its own. */
  readonly #programming = new PeerProgramming({
    isDestination: () => false,
    lastHandshakeAt: () => instant(0),
    lastReceivedAt: () => instant(0),
    maxPeers: 1_024,
  });
  #connection: RpcConnection | undefined;

  constructor(agentId: string, token: string) {
    this.#agentId = agentId;
    this.#token = token;
  }

  async connect(url: string): Promise<void> {
    const self = nodeFromProto(create(NodeSchema, agentNode(this.#agentId)));
    if ("error" in self) throw new Error(self.error);
    this.#connection = await dial(url, this.#token, AGENT_RPC);
    const session = new TailnetSession({
      rpc: this.#connection.rpc,
      node: {
        self: () => self,
        onSelfChanged: () => () => undefined,
        selfSent: () => undefined,
        handlePeerUpdates: (updates: readonly PeerUpdate[]) => {
          const actions = updates.flatMap((update) => this.#programming.handle(update, instant(0)));
          return actions.flatMap(({ kind, id }) => (kind === "program" ? [id] : []));
        },
        lostPeers: () => this.#programming.lostPeers(),
        setDerpMap: () => undefined,
        coordinationLost: () => undefined,
      },
      destinations: [],
      announcesReady: true,
      logger: silentLogger,
    });
    session.run().catch(() => undefined); // the connection is lost, which these tests do on purpose
  }

  /** Breaks the control connection. */
  async cut(): Promise<void> {
    this.#connection?.abandon();
    await this.#connection?.closed;
    this.#programming.connectionLost(instant(0));
  }

  /** The clients in its tunnel. */
  get clients(): readonly string[] {
    return this.#programming.programmed();
  }

  get lostClients(): readonly string[] {
    return this.#programming.lostPeers().map(({ id }) => id);
  }

  async hasClients(count: number, lost = 0): Promise<void> {
    await expect.poll(() => [this.clients.length, this.lostClients.length], { timeout: 30_000 }).toEqual([count, lost]);
  }
}
