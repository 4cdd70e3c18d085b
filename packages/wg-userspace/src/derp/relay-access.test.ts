/** Relay access that changes while the relay runs. */
import { expect, it } from "vitest";
import { bytesEqual, hexEncode } from "../base/bytes.ts";
import { nodeCryptoSuite as crypto, nodeRandom } from "../io/host/crypto-suite.ts";
import { VirtualRelay } from "../testing/virtual-relay.ts";

const privateKeys = Array.from({ length: 4 }, (_, i) => new Uint8Array(32).fill(i + 1));
const publicKeys = privateKeys.map((key) => crypto.publicKey(key));

it("revokes the clients that it would no longer admit, and leaves the others and its siblings", () => {
  const known = new Set(publicKeys.slice(0, 2).map(hexEncode));
  const net = new VirtualRelay(crypto, nodeRandom, { admit: (key) => known.has(hexEncode(key)), meshKey: "secret" });
  const [a, b] = [net.connect(privateKeys[0]!), net.connect(privateKeys[1]!)];
  const sibling = net.connect(privateKeys[2]!, { meshKey: "secret" });
  net.pump();
  known.delete(hexEncode(publicKeys[1]!));
  expect(net.relay.revokeUnadmitted(net.now)).toBe(1);
  net.pump();
  expect([a.refusal, b.refusal, sibling.refusal]).toEqual([undefined, "revoked", undefined]);
  expect(net.relay.isConnected(publicKeys[0]!)).toBe(true);
});

it("revokes nothing when every client may use it", () => {
  const net = new VirtualRelay(crypto, nodeRandom, {});
  const a = net.connect(privateKeys[0]!);
  net.pump();
  expect(net.relay.revokeUnadmitted(net.now)).toBe(0);
  expect(a.refusal).toBeUndefined();
});

it("a new mesh key closes members that proved the old one; the same key again closes nothing", () => {
  const admit = (key: Uint8Array): boolean => bytesEqual(key, publicKeys[0]!);
  const net = new VirtualRelay(crypto, nodeRandom, { admit });
  const client = net.connect(privateKeys[0]!);
  const early = net.connect(privateKeys[1]!, { meshKey: "first" });
  net.pump();
  expect(early.refusal).toBe("not-admitted");
  net.relay.setMeshKey("first", net.now);
  const member = net.connect(privateKeys[1]!, { meshKey: "first" });
  net.pump();
  net.relay.setMeshKey("first", net.now);
  net.pump();
  expect([member.ready, member.refusal]).toEqual([true, undefined]);
  net.relay.setMeshKey("second", net.now);
  net.pump();
  expect(member.refusal).toBe("revoked");
  const late = net.connect(privateKeys[2]!, { meshKey: "first" });
  net.pump();
  expect(late.refusal).toBe("not-admitted");
  const next = net.connect(privateKeys[3]!, { meshKey: "second" });
  net.pump();
  net.relay.setMeshKey(undefined, net.now);
  net.pump();
  expect([next.refusal, client.refusal]).toEqual(["revoked", undefined]);
});
