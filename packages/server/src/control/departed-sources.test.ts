import { create } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import { CoordinateRequestSchema, NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { expect, test } from "vitest";
import { Coordinator, type PeerHandle } from "./coordinator.ts";
import { DepartedSources } from "./departed-sources.ts";
import { agentAuth, clientAuth } from "./peer-auth.ts";

const AGENT = "00000000-0000-4000-8000-00000000000a";
const ADDRESS = "fd7a:115c:a1e0::5";
const MINUTE = 60_000;

function nodeAt(address: string, id = 5n) {
  const node = nodeToProto({
    id,
    asOfUnixMs: 0,
    key: new Uint8Array(32).fill(Number(id)),
    disco: "",
    preferredDerp: 999,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [`${address}/128`],
    allowedIps: [`${address}/128`],
    endpoints: [],
  });
  return create(NodeSchema, node);
}

function connect(coordinator: Coordinator, user: string, id: string): PeerHandle {
  const auth = clientAuth(() => true, { holder: `user ${user}`, endedBy: () => false });
  const peer = coordinator.connect(id, auth, { send: () => true, end: () => undefined }, 0);
  const addTunnel = { id: uuidToBytes(AGENT) };
  peer.handle(create(CoordinateRequestSchema, { updateSelf: { node: nodeAt(ADDRESS) }, addTunnel }), 0);
  return peer;
}

const ways: [string, (peer: PeerHandle) => void][] = [
  ["said goodbye", (peer) => peer.handle(create(CoordinateRequestSchema, { disconnect: {} }), MINUTE)],
  ["was lost", (peer) => peer.lost(MINUTE)],
  [
    "ended its tunnel",
    (peer) => peer.handle(create(CoordinateRequestSchema, { removeTunnel: { id: uuidToBytes(AGENT) } }), MINUTE),
  ],
];

test.each(ways)("the holder of a client's address is known for a while after the client %s", (_name, leave) => {
  const coordinator = new Coordinator();
  coordinator.connect(
    AGENT,
    agentAuth(AGENT, () => false),
    { send: () => true, end: () => undefined },
    0,
  );
  const first = connect(coordinator, "ada", "00000000-0000-4000-8000-000000000001");
  expect(coordinator.sourceAt(AGENT, ADDRESS)?.holder).toBe("user ada");
  leave(first);
  expect(coordinator.sourceAt(AGENT, ADDRESS)?.holder).toBe("user ada");
  expect(coordinator.sourceAt(AGENT, "fd7a:115c:a1e0::6")).toBeUndefined();
  const next = connect(coordinator, "grace", "00000000-0000-4000-8000-000000000002");
  expect(coordinator.sourceAt(AGENT, ADDRESS)?.holder).toBe("user grace");
  leave(next);
  expect(coordinator.sourceAt(AGENT, ADDRESS)?.holder).toBe("user grace");
  coordinator.sweep(15 * MINUTE);
  expect(coordinator.sourceAt(AGENT, ADDRESS)?.holder).toBe("user grace");
  coordinator.sweep(16 * MINUTE);
  expect(coordinator.sourceAt(AGENT, ADDRESS)).toBeUndefined();
});

test("a holder has a bounded number of addresses, those that left last, and takes no room of another", () => {
  const departed = new DepartedSources();
  const of = (user: string) => clientAuth(() => true, { holder: `user ${user}`, endedBy: () => false });
  const [ada, grace] = [of("ada"), of("grace")];
  const address = (n: number) => `fd7a:115c:a1e0::${n.toString(16)}`;
  const agent = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;
  departed.left(AGENT, { auth: grace, node: nodeAt(address(1000)) }, 0);
  for (let n = 1; n <= 64; n++) departed.left(agent(n), { auth: ada, node: nodeAt(address(n)) }, n);
  departed.left(agent(1), { auth: ada, node: nodeAt(address(1)) }, 65);
  departed.left(agent(65), { auth: ada, node: nodeAt(address(65)) }, 66);
  departed.left(agent(66), { auth: ada, node: undefined }, 67);
  expect([1, 2, 3, 65].map((n) => departed.at(agent(n), address(n)))).toEqual([ada, undefined, ada, ada]);
  expect(departed.at(AGENT, address(1000))).toBe(grace);
  // Another user who gets the address takes its entry over.
  departed.left(agent(3), { auth: grace, node: nodeAt(address(3)) }, 68);
  expect(departed.at(agent(3), address(3))).toBe(grace);
  departed.left(agent(70), { auth: ada, node: nodeAt(address(70)) }, 69);
  expect(departed.at(agent(4), address(4))).toBe(ada);
});
