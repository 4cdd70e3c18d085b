/** Peers of the control plane as tests need them: real WebSockets, yamux and dRPC, no tunnel. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { dialRpc, type RpcConnection } from "coder-client/control/rpc-connection";
import { Deployment } from "coder-client/rest/deployment";
import { agentAddresses, uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  type CoordinateRequestSchema,
  type CoordinateResponse,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  Tailnet,
} from "coder-protocol/gen/tailnet_pb.js";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { nodeToProto } from "coder-protocol/tailnet/node";

const KIND_NAMES: Readonly<Record<number, string>> = {
  [Kind.NODE]: "node",
  [Kind.DISCONNECTED]: "disconnected",
  [Kind.LOST]: "lost",
  [Kind.READY_FOR_HANDSHAKE]: "ready",
};

export function dial(
  url: string,
  token: string,
  path: string,
  query: Record<string, string> = { version: "2.3" },
): Promise<RpcConnection> {
  const deployment = new Deployment({ url: new URL(url), token });
  return dialRpc(deployment, path, { query, signal: AbortSignal.timeout(10_000) });
}

export function nodeOf(options: { id: bigint; fill: number; addresses: readonly string[]; latencySeconds?: number }) {
  const addresses = options.addresses.map((address) => `${address}/128`);
  return nodeToProto({
    id: options.id,
    asOfUnixMs: 0,
    key: new Uint8Array(32).fill(options.fill),
    disco: "",
    preferredDerp: 999,
    derpLatency: new Map([["999-v4", options.latencySeconds ?? 0.01]]),
    derpForcedWebsocket: new Map(),
    addresses,
    allowedIps: addresses,
    endpoints: ["203.0.113.9:4321"],
  });
}

export const agentNode = (agentId: string, id = 42n) => nodeOf({ id, fill: 7, addresses: agentAddresses(agentId) });

/** A Coordinate stream on a connection of its own. Its answers are read as text. */
export class TestPeer implements AsyncDisposable {
  readonly connection: RpcConnection;
  readonly #stream;
  readonly #answers: AsyncIterator<CoordinateResponse>;

  static async open(url: string, token: string, path: string, query?: Record<string, string>): Promise<TestPeer> {
    return new TestPeer(await dial(url, token, path, query));
  }

  /** @param token The token of a workspace proxy. */
  static async ofProxy(
    url: string,
    token: string,
    query: Record<string, string> = { version: "2.0" },
  ): Promise<TestPeer> {
    const deployment = new Deployment({
      url: new URL(url),
      extraHeaders: async () => ({ [PROXY_TOKEN_HEADER]: token }),
    });
    const signal = AbortSignal.timeout(10_000);
    return new TestPeer(await dialRpc(deployment, PROXY_COORDINATE_PATH, { query, signal }));
  }

  private constructor(connection: RpcConnection) {
    this.connection = connection;
    this.#stream = connection.rpc.bidi(Tailnet.method.coordinate);
    this.#answers = this.#stream.messages[Symbol.asyncIterator]();
  }

  send(request: MessageInitShape<typeof CoordinateRequestSchema>): void {
    this.#stream.send(request);
  }

  tunnelTo(id: string): void {
    this.send({ addTunnel: { id: uuidToBytes(id) } });
  }

  /** The next answer: "node <id>", "lost <id>", "doubt <id>" …, or "error: …"; "end" when the server ended the stream. */
  async next(): Promise<string> {
    const { value, done } = await this.#answers.next();
    if (done === true) return "end";
    if (value.error !== "") return `error: ${value.error}`;
    if (value.doubtedRights.length > 0) return value.doubtedRights.map((id) => `doubt ${uuidFromBytes(id)}`).join(", ");
    return value.peerUpdates.map((update) => `${KIND_NAMES[update.kind]} ${uuidFromBytes(update.id)}`).join(", ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }
}
