import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { parseUuid, uuidFromBytes } from "coder-protocol/addresses";
import { PacketKind, PacketReader, writePacket } from "coder-protocol/drpc/frame";
import { decode } from "coder-protocol/drpc/message";
import { type DrpcRoutes, serveDrpc } from "coder-protocol/drpc/server";
import { file_agent, ManifestSchema } from "coder-protocol/gen/agent_pb";
import {
  CoordinateRequestSchema,
  CoordinateResponseSchema,
  type DERPMap,
  DERPMapSchema,
  file_tailnet,
  type Node,
  NodeSchema,
} from "coder-protocol/gen/tailnet_pb";
import { NameError, parseWorkspaceName, validateAgentName } from "coder-protocol/names";
import { derpMapFromProto, derpMapToProto } from "coder-protocol/tailnet/derp-map";
import { nodeFromProto, nodeToProto, peerUpdateFromProto } from "coder-protocol/tailnet/node";
import { ByteQueue } from "coder-protocol/yamux/byte-queue";
import { Flag, FrameType, writeHeader } from "coder-protocol/yamux/frame";
import { YamuxSession } from "coder-protocol/yamux/session";
import { concatBytes, utf8 } from "wg-userspace/base/bytes";
import { derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { FuzzTarget, FuzzTargetFactory } from "wg-userspace/testing/fuzz";
import { parseWorkspaceQuery } from "../../src/workspaces/workspace-query.ts";

const TICK_MS = 0.5;
const MAX_PACKET_BYTES = 65_536;
const uuid = new Uint8Array(16).fill(0xab);

/** dRPC frames alone, split at chunk borders. */
const drpcFrames: FuzzTargetFactory = {
  name: "drpc-frames",
  create: () => {
    const budget = { usedBytes: 0, limitBytes: 4 * MAX_PACKET_BYTES };
    const open = (): PacketReader => new PacketReader({ budget, maxPacketBytes: MAX_PACKET_BYTES });
    let reader = open();
    return {
      corpus: () => [
        calls(1),
        ...[1, 2, 3, 4, 5, 6, 7].map((kind) => packet(kind as PacketKind, 1, kind, utf8("/a/b"))),
      ],
      feed(input) {
        reader.feed(input);
        for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
          if (packet.data.length > MAX_PACKET_BYTES) throw new Error("a packet above the limit");
        }
        if (reader.failure === undefined) return;
        reader.dispose();
        reader = open();
      },
      bounds: () => [{ what: "bytes of unfinished packets", size: budget.usedBytes, limit: budget.limitBytes }],
    };
  },
};

/** A session that accepts every stream and echoes it, and one that serves calls on its streams. */
const yamux = (name: string, serve: (session: YamuxSession) => void): FuzzTargetFactory => ({
  name,
  create: () => new YamuxTarget(serve),
});

class YamuxTarget implements FuzzTarget {
  readonly #serve: (session: YamuxSession) => void;
  #session: YamuxSession;
  #now = 1_000;
  #waiting = 0;
  #inputs = 0;

  constructor(serve: (session: YamuxSession) => void) {
    this.#serve = serve;
    this.#session = this.#open();
  }

  corpus(): readonly Uint8Array[] {
    const data = calls(1);
    const opened = concatBytes(
      writeHeader(FrameType.windowUpdate, Flag.syn, 1, 0),
      writeHeader(FrameType.data, 0, 1, data.length),
      data,
    );
    return [
      opened,
      ...Object.values(FrameType).flatMap((type) => [0, 1, 3].map((id) => writeHeader(type, Flag.syn, id, 0))),
      writeHeader(FrameType.windowUpdate, 0, 1, 1 << 20),
      writeHeader(FrameType.data, Flag.fin, 1, 0),
      writeHeader(FrameType.windowUpdate, Flag.rst, 1, 0),
      writeHeader(FrameType.ping, Flag.syn, 0, 7),
      concatBytes(writeHeader(FrameType.data, Flag.syn, 5, 4), utf8("data")),
      concatBytes(opened, writeHeader(FrameType.data, Flag.fin, 1, 0)),
    ];
  }

  feed(input: Uint8Array): void {
    this.#now += TICK_MS;
    const session = this.#session;
    session.handleBytes(input, this.#now);
    const due = session.nextTimeout();
    if (due !== undefined && due <= this.#now) session.handleTimeout(this.#now);
    // Simulates a peer that does not read for a while and then reads everything.
    if (++this.#inputs % 16 === 0) while (session.takeOutput() !== undefined);
    this.#waiting = Math.max(this.#waiting, session.outputBytes);
    if (session.ended !== undefined || this.#inputs % 512 === 0) this.#session = this.#open();
  }

  bounds() {
    return [
      { what: "streams", size: this.#session.streamCount, limit: 512 },
      { what: "bytes of output that waited", size: this.#waiting, limit: 2 << 20 },
    ];
  }

  #open(): YamuxSession {
    const session = new YamuxSession({ role: "server" });
    session.handleTimeout(this.#now);
    this.#serve(session);
    return session;
  }
}

function echo(session: YamuxSession): void {
  const acceptAll = (): void => {
    for (let stream = session.accept(); stream !== undefined; stream = session.accept()) {
      const accepted = stream;
      const copy = (): void => {
        for (let bytes = accepted.read(); bytes !== undefined; bytes = accepted.read()) accepted.write(bytes);
      };
      accepted.handlers = { onReadable: copy, onEnd: () => accepted.end() };
      copy();
    }
  };
  session.onIncoming = acceptAll;
  acceptAll();
}

const routes: DrpcRoutes = {
  find: (path) =>
    path === "/a/b"
      ? (call) => ({
          onMessage: (bytes) => void call.respond(bytes),
          onEnd: () => call.finish(),
          onCancel: () => undefined,
        })
      : path === "/a/c"
        ? "unimplemented"
        : undefined,
};

/** Every message of both services, and the conversions of those that are used. */
const protobuf: FuzzTargetFactory = {
  name: "protobuf",
  create: () => {
    const schemas = [...file_tailnet.messages, ...file_agent.messages];
    let next = 0;
    return {
      corpus: protobufCorpus,
      feed(input) {
        decode(schemas[next++ % schemas.length]!, input);
        const node = decode(NodeSchema, input);
        if (!(node instanceof Error)) checkNode(node);
        const response = decode(CoordinateResponseSchema, input);
        if (!(response instanceof Error)) for (const update of response.peerUpdates) peerUpdateFromProto(update);
        const map = decode(DERPMapSchema, input);
        if (!(map instanceof Error)) checkMap(map);
      },
    };
  },
};

function checkNode(node: Node): void {
  const info = nodeFromProto(node);
  if ("error" in info && info.error === "") throw new Error("a fault without words");
}

function checkMap(map: DERPMap): void {
  const result = derpMapFromProto(map);
  if ("error" in result && result.error === "") throw new Error("an error without words");
}

const names: FuzzTargetFactory = {
  name: "workspace-names",
  create: () => ({
    corpus: () =>
      ["dev", "alice/dev", "alice/dev.main", "main.dev.alice.coder", "coder.alice--dev--main"].map((text) =>
        utf8(text),
      ),
    feed(input) {
      const text = asText(input);
      validateAgentName(text);
      for (const options of [{}, { hostPrefix: "coder.", hostnameSuffix: "coder" }]) {
        try {
          const name = parseWorkspaceName(text, options);
          if (name.workspace === "" || name.workspace.length > 32) throw new Error(`accepted "${name.workspace}"`);
        } catch (error) {
          if (!(error instanceof NameError)) throw error;
        }
      }
    },
  }),
};

const uuids: FuzzTargetFactory = {
  name: "uuids",
  create: () => ({
    corpus: () => [utf8("01234567-89ab-cdef-0123-456789abcdef"), uuid],
    feed(input) {
      const bytes = parseUuid(asText(input));
      if (bytes !== undefined && bytes.length !== 16) throw new Error("a UUID of another length");
      uuidFromBytes(input);
    },
  }),
};

const workspaceQuery: FuzzTargetFactory = {
  name: "workspace-query",
  create: () => ({
    corpus: () =>
      ['owner:me name:"two words" status:running', "alice/dev", "has-external-agent:true template:x"].map((text) =>
        utf8(text),
      ),
    feed(input) {
      for (const text of [asText(input), new TextDecoder().decode(input)]) {
        const query = parseWorkspaceQuery(text);
        if ("problem" in query && query.problem === "") throw new Error("a problem without words");
      }
    },
  }),
};

/** Every parser of the control plane's protocols. */
export const PROTOCOL_TARGETS: readonly FuzzTargetFactory[] = [
  yamux("yamux", echo),
  yamux("drpc-calls", (session) => serveDrpc(session, routes)),
  drpcFrames,
  protobuf,
  names,
  uuids,
  workspaceQuery,
];

function asText(input: Uint8Array): string {
  let text = "";
  for (const byte of input) text += String.fromCharCode(byte);
  return text;
}

function packet(kind: PacketKind, streamId: number, messageId: number, data: Uint8Array): Uint8Array {
  const out = new ByteQueue();
  writePacket(out, kind, streamId, messageId, data);
  return out.take(MAX_PACKET_BYTES)!;
}

/** One call with a message, in the form in which its stream carries it. */
function calls(streamId: number): Uint8Array {
  return concatBytes(
    packet(PacketKind.invoke, streamId, 1, utf8("/a/b")),
    packet(PacketKind.message, streamId, 2, new Uint8Array(100)),
    packet(PacketKind.closeSend, streamId, 3, new Uint8Array(0)),
  );
}

function protobufCorpus(): readonly Uint8Array[] {
  const encoded = <D extends DescMessage>(schema: D, init: MessageInitShape<D>): Uint8Array =>
    toBinary(schema, create(schema, init));
  const node = nodeToProto({
    id: 12345n,
    asOfUnixMs: 1_700_000_000_000,
    key: new Uint8Array(32).fill(0xab),
    disco: `discokey:${"cd".repeat(32)}`,
    preferredDerp: 1,
    derpLatency: new Map([["1-v4", 0.01]]),
    derpForcedWebsocket: new Map([[2, "proxy"]]),
    addresses: ["fd7a::1/128"],
    allowedIps: ["fd7a::1/128"],
    endpoints: ["1.2.3.4:5", "[::1]:9"],
  });
  const region = {
    regionId: 1,
    regionCode: "a",
    regionName: "A",
    embeddedRelay: true,
    avoid: false,
    nodes: [relayNode({ name: "1a", regionId: 1, hostName: "a.example", derpPort: 443, ipv4: "1.2.3.4" })],
  };
  const map = derpMapToProto(derpMapOf([region], new Map([[1, 0.5]])));
  return [
    encoded(NodeSchema, node),
    encoded(CoordinateRequestSchema, {
      updateSelf: { node },
      addTunnel: { id: uuid },
      readyForHandshake: [{ id: uuid }],
    }),
    encoded(CoordinateResponseSchema, { peerUpdates: [{ id: uuid, kind: 1, node, reason: "x" }], error: "e" }),
    encoded(DERPMapSchema, map),
    encoded(ManifestSchema, {
      agentId: uuid,
      ownerUsername: "o",
      directory: "/",
      environmentVariables: { A: "b" },
      derpMap: map,
    }),
  ];
}
