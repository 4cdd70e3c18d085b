import { dialRpc, type RpcConnection } from "coder-client/control/rpc-connection";
import { Deployment } from "coder-client/rest/deployment";
import { uuidToBytes } from "coder-protocol/addresses";
import { CoordinateResponse_PeerUpdate_Kind as Kind, Tailnet } from "coder-protocol/gen/tailnet_pb.js";

/** A control connection to one server that records what the server announces about an agent. It never redials. */
export class Watcher {
  readonly updates: ("node" | "lost" | "disconnected" | "ready" | "end")[] = [];
  readonly #connection: RpcConnection;

  static async open(url: string, token: string, agentId: string): Promise<Watcher> {
    const deployment = new Deployment({ url: new URL(url), token });
    const query = { version: "2.3" };
    return new Watcher(
      await dialRpc(deployment, "/api/v2/tailnet", { query, signal: AbortSignal.timeout(60_000) }),
      agentId,
    );
  }

  private constructor(connection: RpcConnection, agentId: string) {
    this.#connection = connection;
    const stream = connection.rpc.bidi(Tailnet.method.coordinate);
    stream.send({ addTunnel: { id: uuidToBytes(agentId) } });
    void this.#record(stream.messages);
  }

  async #record(messages: AsyncIterable<{ readonly peerUpdates: readonly { readonly kind: Kind }[] }>): Promise<void> {
    try {
      for await (const { peerUpdates } of messages)
        for (const { kind } of peerUpdates) this.updates.push(NAMES[kind] ?? "disconnected");
    } catch {
      // The connection ended, which is recorded.
    }
    this.updates.push("end");
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

const NAMES: Readonly<Partial<Record<Kind, Watcher["updates"][number]>>> = {
  [Kind.NODE]: "node",
  [Kind.LOST]: "lost",
  [Kind.READY_FOR_HANDSHAKE]: "ready",
};
