/**
 * A separate program, run with --expose-gc: one user's peers make the coordinator remember as much as they can. Prints as JSON
 * how many bytes of heap the first rounds cost and how many three times as many more rounds cost, and what is remembered.
 */
import { create } from "@bufbuild/protobuf";
import { agentAddresses, uuidToBytes } from "coder-protocol/addresses";
import { CoordinateRequestSchema } from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { Coordinator } from "../../src/control/coordinator.ts";
import { agentAuth, clientAuth } from "../../src/control/peer-auth.ts";
import { PeerReports } from "../../src/control/peer-reports.ts";

const ROUNDS = 2_000;
const AGENT = id(0xa);
const sink = { send: () => true, end: () => undefined };

function id(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;
}

function key(n: number): Uint8Array {
  const bytes = new Uint8Array(32).fill(1);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

function node(n: number, addresses: readonly string[], size: number) {
  const prefixes = addresses.map((address) => `${address}/128`);
  return nodeToProto({
    id: BigInt(n),
    asOfUnixMs: n,
    key: key(n),
    disco: "",
    preferredDerp: 1,
    derpLatency: new Map(Array.from({ length: size }, (_, i) => [`${i}-v4`, 0.1])),
    derpForcedWebsocket: new Map(Array.from({ length: size }, (_, i) => [i + 1, "x".repeat(1_000)])),
    addresses: prefixes,
    allowedIps: prefixes,
    endpoints: Array.from({ length: size }, (_, i) => `192.0.2.1:${i + 1}`),
  });
}

function heapBytes(): number {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  gc();
  gc();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
}

const coordinator = new Coordinator();
const reports = new PeerReports();
const agent = coordinator.connect(
  AGENT,
  agentAuth(AGENT, () => false),
  sink,
  0,
);
agent.handle(create(CoordinateRequestSchema, { updateSelf: { node: node(1, agentAddresses(AGENT), 1) } }), 0);
const before = heapBytes();

const auth = clientAuth(() => true, { holder: "user mallory", endedBy: () => false });
function play(from: number, to: number): void {
  for (let n = from; n < to; n++) round(n);
}

function round(n: number): void {
  const me = id(0x1000 + n);
  const peer = coordinator.connect(me, auth, sink, n);
  const updateSelf = { node: node(n, ["fd7a:115c:a1e0::1"], n % 100 === 0 ? 2_000 : 1) };
  peer.handle(create(CoordinateRequestSchema, { updateSelf, addTunnel: { id: uuidToBytes(AGENT) } }), n);
  for (let other = 0; other < 4; other++) {
    peer.handle(create(CoordinateRequestSchema, { updateSelf: { node: node(n * 8 + other, ["fd7a::1"], 1) } }), n);
    peer.handle(create(CoordinateRequestSchema, { addTunnel: { id: uuidToBytes(id(n * 8 + other)) } }), n);
  }
  peer.handle(create(CoordinateRequestSchema, { readyForHandshake: [{ id: uuidToBytes(AGENT) }] }), n);
  reports.forget(me);
  peer.lost(n);
}
play(2, ROUNDS);
const once = heapBytes();
play(ROUNDS, 4 * ROUNDS);
const bytes = { first: once - before, later: heapBytes() - once };
process.stdout.write(
  JSON.stringify({ bytes, ...coordinator.remembered, peers: coordinator.peerCount, tunnels: coordinator.tunnelCount }),
);
