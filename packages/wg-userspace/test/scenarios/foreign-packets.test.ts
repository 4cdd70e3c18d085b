/** A peer with a valid session sends arbitrary inner packets: which of them an engine delivers. */
import { expect, test } from "vitest";
import { instant } from "../../src/base/instant.ts";
import { formatIp, type IpAddress, ip } from "../../src/base/ip.ts";
import { clampPrivateKey, nodePrivateKey } from "../../src/base/keys.ts";
import { Engine } from "../../src/engine.ts";
import { nodeCryptoSuite as crypto } from "../../src/io/host/crypto-suite.ts";
import { udpPath } from "../../src/magicsock/path.ts";
import { scalarChecksum } from "../../src/netstack/wire/checksum.ts";
import { emitIpHeader, transportChecksum } from "../../src/netstack/wire/ip.ts";
import { suiteCipher } from "../../src/testing/suite-cipher.ts";
import { seededRandom } from "../../src/testing/wireguard-link.ts";
import { Device } from "../../src/wireguard/device.ts";
import { memoryOf } from "./tcp-harness.ts";

const now = instant(5_000);
const PORT = 7;
const VICTIM = [ip("fd7a::1"), ip("10.0.0.1")];
const ATTACKER = [ip("fd7a::2"), ip("10.0.0.2")];
const THIRD = [ip("fd7a::3"), ip("10.0.0.3")];
const path = udpPath({ address: ip("192.0.2.2"), port: 2 });

function datagram(source: IpAddress, destination: IpAddress): Uint8Array {
  const header = source.length === 4 ? 20 : 40;
  const length = 12;
  const bytes = new Uint8Array(header + length);
  const memory = memoryOf(bytes);
  emitIpHeader(memory, 0, source, destination, 17, length, scalarChecksum);
  memory.view.setUint16(header, 9);
  memory.view.setUint16(header + 2, PORT);
  memory.view.setUint16(header + 4, length);
  memory.view.setUint16(header + 6, transportChecksum(memory, 0, header, 17, length, scalarChecksum));
  return bytes;
}

/** An engine, and a bare WireGuard device that is one of its two peers and routes everything to it. */
function session() {
  const random = seededRandom(3);
  const key = () => nodePrivateKey(clampPrivateKey(random.bytes(32)));
  const unixMs = (at: number) => 1_700_000_000_000 + at;
  const ciphers = [suiteCipher(crypto), suiteCipher(crypto)] as const;
  const heard: string[] = [];
  const answered: Uint8Array[] = [];
  const victim = new Engine(
    { privateKey: key(), addresses: VICTIM },
    { crypto, random, cipher: ciphers[0], unixMs },
    {
      sendDatagram: (_to, slot, length) => {
        const target = ciphers[1].rx.lease();
        ciphers[1].memory.bytes.set(ciphers[0].memory.bytes.subarray(slot, slot + length), target);
        ciphers[0].tx.release(slot);
        attacker.decapsulate(target, length, path, now);
      },
      sendRelay: () => undefined,
      sendProbe: () => undefined,
      congested: () => false,
      relayCongested: () => false,
      event: () => undefined,
    },
    now,
  );
  const attacker: Device = new Device(
    { privateKey: key(), crypto, random, cipher: ciphers[1], unixMs, mtu: 1280 },
    {
      sendMessage: (_peer, slot, length) => {
        const message = ciphers[1].memory.bytes.slice(slot, slot + length);
        ciphers[1].tx.release(slot);
        victim.handleDatagram(path, message, now);
      },
      deliverPacket: (_peer, offset, length) =>
        void answered.push(ciphers[1].memory.bytes.slice(offset, offset + length)),
      authenticated: () => undefined,
      sessionEstablished: () => undefined,
      handshakeGaveUp: () => undefined,
    },
  );
  const prefixes = (addresses: readonly IpAddress[]) =>
    addresses.map((address) => ({ address, bits: address.length * 8 }));
  victim.setPeer({ publicKey: attacker.publicKey, allowedIPs: prefixes(ATTACKER), udpEndpoints: [path.address] }, now);
  const third = crypto.publicKey(key()) as typeof attacker.publicKey;
  victim.setPeer({ publicKey: third, allowedIPs: prefixes(THIRD) }, now);
  const everything = [ip("::"), ip("0.0.0.0")].map((address) => ({ address, bits: 0 }));
  attacker.addPeer({ publicKey: victim.publicKey, allowedIPs: everything }, now);
  for (const address of VICTIM) {
    victim.netstack.bindUdp(
      { port: PORT, address },
      { onDatagram: (_payload, from, to) => void heard.push(`${formatIp(from.address)} to ${formatIp(to.address)}`) },
    );
  }
  const send = (packet: Uint8Array): void => {
    const slot = ciphers[1].tx.lease();
    ciphers[1].memory.bytes.set(packet, slot + 16);
    attacker.encapsulate(slot, packet.length, now);
    for (let turn = 0; turn < 4; turn++) {
      attacker.flush(now);
      victim.flush(now);
    }
  };
  return { victim, send, heard, answered };
}

test.each([0, 1])("security 13: foreign sources and destinations are dropped and counted, family %i", (family) => {
  const [own, peer, third] = [VICTIM[family]!, ATTACKER[family]!, THIRD[family]!];
  const { victim, send, heard, answered } = session();
  const tapped: number[] = [];
  victim.packetTap = (_bytes, _offset, length) => void tapped.push(length);
  const honest = `${formatIp(peer)} to ${formatIp(own)}`;
  send(datagram(peer, own));
  expect(heard).toEqual([honest]);

  const elsewhere = family === 0 ? ip("fd7a::99") : ip("10.9.9.9");
  const loopback = family === 0 ? ip("::1") : ip("127.0.0.1");
  const multicast = family === 0 ? ip("ff02::1") : ip("224.0.0.1");
  const sources = [third, own, elsewhere, loopback, multicast];
  for (const source of sources) send(datagram(source, own));
  expect(victim.dropCounts()).toEqual({ "source-not-allowed": sources.length });

  const destinations = [third, peer, elsewhere, loopback, multicast];
  for (const destination of destinations) send(datagram(peer, destination));
  expect(victim.dropCounts()).toEqual({ "source-not-allowed": sources.length, "not-for-us": destinations.length });

  send(datagram(peer, own));
  expect(heard).toEqual([honest, honest]);
  expect(answered).toEqual([]); // nothing was answered or passed on
});
