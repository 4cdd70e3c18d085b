/** The contract of every carrier of datagrams. The interop tier runs this file again with the native module. */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { createPacketCipher } from "../../aead/cipher.ts";
import { type AddrPort, type IpAddress, ip, parseIp } from "../../base/ip.ts";
import type { PacketCipher } from "../../base/ports.ts";
import { PathTable, type UdpPath, udpPath } from "../../magicsock/path.ts";
import type { DatagramSocket } from "./datagram-socket.ts";
import { bindUdpSocket } from "./udp-socket.ts";

const STRIDE = 1536;
/** Slots that hold the largest datagram of all. */
const LARGE_STRIDE = 66_112;
const TRANSPORT_HEADER = Uint8Array.of(4, 0, 0, 0);

interface Heard {
  readonly from: string;
  readonly bytes: Buffer;
  readonly inSlot: boolean;
}

interface Host extends Disposable {
  readonly socket: DatagramSocket;
  readonly cipher: PacketCipher;
  readonly heard: Heard[];
  readonly counts: { tooLong: number; batches: number };
  send(to: UdpPath, bytes: Uint8Array): void;
}

const hosts: Host[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) host.socket.close();
});

async function openHost(port = 0, stride = STRIDE): Promise<Host> {
  const cipher = createPacketCipher({ stride });
  const paths = new PathTable();
  const heard: Heard[] = [];
  const counts = { tooLong: 0, batches: 0 };
  const socket = await bindUdpSocket(
    { port, cipher },
    {
      onDatagram: (address, from, datagram) =>
        void heard.push({ from: `${address}:${from}`, bytes: Buffer.from(datagram), inSlot: false }),
      onTransport: (from, slot, length) => {
        const bytes = Buffer.from(cipher.memory.bytes.slice(slot, slot + length));
        heard.push({ from: nameOf(from.address), bytes, inSlot: true });
        cipher.rx.release(slot);
      },
      pathOf: (address, from) => paths.udp(address, from, parseIp),
      onTooLong: () => void counts.tooLong++,
      onBatchEnd: () => void counts.batches++,
      onError: (error) => {
        throw error;
      },
      onDrain: () => undefined,
    },
  );
  const host: Host = {
    socket,
    cipher,
    heard,
    counts,
    send(to, bytes) {
      const slot = cipher.tx.lease();
      if (slot < 0) throw new Error("no TX slot");
      cipher.memory.bytes.set(bytes, slot);
      socket.send(to, slot, bytes.length);
    },
    [Symbol.dispose]: () => socket.close(),
  };
  hosts.push(host);
  return host;
}

function nameOf({ address, port }: AddrPort): string {
  const text =
    address.length === 4 ? address.join(".") : address.at(-1) === 1 ? "::1" : Buffer.from(address).toString("hex");
  return `${text}:${port}`;
}

function pathTo(address: string, port: number): UdpPath {
  return udpPath({ address: ip(address) as IpAddress, port });
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !holds(); await sleep(2)) {
    if (performance.now() > end) throw new Error("did not happen in time");
  }
}

/** A WireGuard data packet for a carrier that checks only its type. */
function transport(length: number): Buffer {
  const packet = randomBytes(length);
  packet.set(TRANSPORT_HEADER);
  return packet;
}

describe.each([
  ["IPv4", "127.0.0.1", "ipv4"],
  ["IPv6", "::1", "ipv6"],
] as const)("a UDP socket, %s", (_name, loopback, family) => {
  it("delivers datagrams of every length with their source, in order", async () => {
    const [one, two] = [await openHost(), await openHost()];
    const to = pathTo(loopback, two.socket.ports[family]!);
    const lengths = [0, 1, 2, 31, 32, 33, 148, 92, 64, 1000, 1312, 1312, 1312, 1311, 1312, 1452, STRIDE, 1, STRIDE];
    const sent = lengths.map((length, i) => (i % 2 === 0 ? randomBytes(length) : transport(Math.max(length, 4))));
    for (const packet of sent) one.send(to, packet);
    one.socket.flush();
    await until(() => two.heard.length === sent.length);
    expect(two.heard.map(({ bytes }) => bytes)).toEqual(sent);
    const source = `${loopback}:${one.socket.ports[family]}`;
    expect(new Set(two.heard.map(({ from }) => from))).toEqual(new Set([source]));
  });

  it("keeps a long run of data packets of mixed lengths whole and in order", async () => {
    const [one, two] = [await openHost(), await openHost()];
    const to = pathTo(loopback, two.socket.ports[family]!);
    const digest = createHash("sha256");
    let sent = 0;
    for (let burst = 0; burst < 40; burst++) {
      // Runs of equal packets, some cut short, as a TCP sender produces them.
      for (let i = 0; i < 120; i++) {
        const packet = transport(i % 17 === 16 ? 40 + i : burst % 3 === 0 ? 1312 : 1452);
        digest.update(packet);
        one.send(to, packet);
        sent++;
      }
      one.socket.flush();
      await until(() => two.heard.length === sent);
    }
    const received = createHash("sha256");
    for (const { bytes } of two.heard) received.update(bytes);
    expect(received.digest("hex")).toBe(digest.digest("hex"));
  });

  it("keeps datagrams of up to 64 KiB whole and in order, between runs of small ones", async () => {
    const [one, two] = [await openHost(0, LARGE_STRIDE), await openHost(0, LARGE_STRIDE)];
    const to = pathTo(loopback, two.socket.ports[family]!);
    const sent = createHash("sha256");
    const received = createHash("sha256");
    let count = 0;
    // Each burst ends with what the next one does not begin with, so that no expectation of the receiver lasts.
    for (const lengths of [
      [65_488, 65_488, 65_488],
      [65_488, 65_488, ...Array.from({ length: 20 }, () => 1452)],
      [...Array.from({ length: 90 }, () => 1452), 700],
      [40_000, 65_488, 1, 65_488, 0, 65_487],
      [8952, 8952, 8952, 8952, 8952, 8952, 8952, 100, 65_488],
      [65_488, 32, 65_488, 8952, 8952, 65_488],
    ]) {
      for (const length of lengths) {
        const packet = transport(Math.max(length, 4)).subarray(0, length);
        sent.update(`${length} `).update(packet);
        one.send(to, packet);
      }
      one.socket.flush();
      count += lengths.length;
      await until(() => two.heard.length === count);
    }
    for (const { bytes } of two.heard) received.update(`${bytes.length} `).update(bytes);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    await until(() => two.cipher.rx.free === two.cipher.rx.capacity - 16);
  });

  it("keeps two alternating destinations apart", async () => {
    const [one, two, three] = [await openHost(), await openHost(), await openHost()];
    const to = [two, three].map((host) => pathTo(loopback, host.socket.ports[family]!));
    const sent: Buffer[][] = [[], []];
    for (let i = 0; i < 150; i++) {
      const which = i % 5 < 3 ? 0 : 1;
      const packet = transport(200);
      sent[which]!.push(packet);
      one.send(to[which]!, packet);
    }
    one.socket.flush();
    await until(() => two.heard.length + three.heard.length === 150);
    expect([two, three].map((host) => host.heard.map(({ bytes }) => bytes))).toEqual(sent);
  });

  it("distinguishes two alternating sources", async () => {
    const [one, two, hub] = [await openHost(), await openHost(), await openHost()];
    const to = pathTo(loopback, hub.socket.ports[family]!);
    for (let i = 0; i < 60; i++) {
      const host = i % 2 === 0 ? one : two;
      host.send(to, transport(100));
      host.socket.flush();
    }
    await until(() => hub.heard.length === 60);
    for (const host of [one, two]) {
      const own = `${loopback}:${host.socket.ports[family]}`;
      expect(hub.heard.filter(({ from }) => from === own)).toHaveLength(30);
    }
  });

  it("sends probes with and without a hop limit", async () => {
    const [one, two] = [await openHost(), await openHost()];
    const to = pathTo(loopback, two.socket.ports[family]!);
    one.socket.sendProbe(to, Buffer.from("usual"), undefined);
    one.socket.sendProbe(to, Buffer.from("two hops"), 2);
    one.socket.sendProbe(to, Buffer.from("usual again"), undefined);
    await until(() => two.heard.length === 3);
    expect(two.heard.map(({ bytes }) => bytes.toString())).toEqual(["usual", "two hops", "usual again"]);
  });

  it("never puts a datagram into a slot that is too small for it", async () => {
    const [one, two] = [await openHost(), await openHost()];
    const to = pathTo(loopback, two.socket.ports[family]!);
    one.socket.sendProbe(to, transport(STRIDE + 1), undefined);
    one.socket.sendProbe(to, transport(40_000), undefined);
    one.send(to, transport(100));
    one.socket.flush();
    await until(() => two.heard.some(({ bytes }) => bytes.length === 100));
    // Neither truncated nor delivered outside a slot: a ping of that size must not be answered.
    expect(two.heard.map(({ bytes }) => bytes.length)).toEqual([100]);
    expect(two.counts.tooLong).toBe(2);
  });

  it("continues after a send to a port without a listener", async () => {
    const [one, two] = [await openHost(), await openHost()];
    const gone = await openHost();
    const unbound = pathTo(loopback, gone.socket.ports[family]!);
    gone.socket.close();
    for (let i = 0; i < 20; i++) {
      one.send(unbound, transport(300));
      one.socket.flush();
      await new Promise((resolve) => setImmediate(resolve)); // the system reports its refusals in between
    }
    one.send(pathTo(loopback, two.socket.ports[family]!), transport(300));
    one.socket.flush();
    await until(() => two.heard.length === 1);
  });
});

describe("a UDP socket", () => {
  it("returns every slot, including those of unsent datagrams", async () => {
    const host = await openHost();
    const free = [host.cipher.tx.free, host.cipher.rx.free];
    const paths = [
      pathTo("127.0.0.1", host.socket.ports.ipv4!),
      pathTo("::1", host.socket.ports.ipv6!),
      pathTo("240.0.0.1", 9), // not routed
      pathTo("fe80::1", 9), // needs a zone
    ];
    for (let i = 0; i < 1_000; i++) {
      host.send(paths[i % paths.length]!, transport(64 + (i % 900)));
      if (i % 100 === 99) host.socket.flush();
    }
    host.socket.flush();
    await until(() => host.heard.length === 500);
    await until(() => host.socket.waiting === 0);
    const allBack = (): boolean => host.cipher.tx.free === free[0] && host.cipher.rx.free === free[1];
    await until(allBack);
    host.send(paths[0]!, transport(100));
    host.socket.close();
    host.send(paths[0]!, transport(100));
    await until(allBack);
  });

  it("takes the same port for both families, and reports when it is taken", async () => {
    const host = await openHost();
    expect(host.socket.ports.ipv4).toBe(host.socket.ports.ipv6);
    await expect(openHost(host.socket.ports.ipv4)).rejects.toMatchObject({ code: "ERR_ADDRESS_IN_USE" });
  });
});
