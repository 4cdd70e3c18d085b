import { describe, expect, test } from "vitest";
import { Host, memoryOf } from "../../test/scenarios/tcp-harness.ts";
import { type Instant, instant } from "../base/instant.ts";
import { type AddrPort, formatAddrPort, type IpAddress, ip } from "../base/ip.ts";
import type { UdpFallback } from "./stack.ts";
import { UDP_QUEUE_BYTES, UDP_QUEUE_DATAGRAMS, UdpSendQueue } from "./udp.ts";

const now = instant(5_000);
const local: AddrPort = { address: ip("fd00::1"), port: 7 };
const remote: AddrPort = { address: ip("fd00::9"), port: 9 };
const ignore = { onDatagram: () => undefined };

/** Packets of one host arrive at the other. */
function carry(from: Host, to: Host, at: Instant = now): void {
  for (const packet of from.output.take()) to.stack.handlePacket(memoryOf(packet), 0, packet.length, at);
}

describe("a queue of datagrams", () => {
  type Verdict = "sent" | "too-large" | "no-slot" | "carrier-full";
  function queueWith(verdict: { current: Verdict }) {
    const sent: number[] = [];
    const waiting: UdpSendQueue[] = [];
    const queue = new UdpSendQueue({
      sendUdp: (_local, _remote, payload) => {
        if (verdict.current === "sent") sent.push(payload[0]!);
        return verdict.current;
      },
      udpWaiting: (one) => void waiting.push(one),
    });
    const send = (first: number, length = 1) => {
      const payload = new Uint8Array(length);
      payload[0] = first;
      return queue.send(local, remote, payload, now);
    };
    return { queue, sent, waiting, send };
  }

  test("keeps those that found no slot in order, and asks for its turn once", () => {
    const verdict = { current: "no-slot" as Verdict };
    const { queue, sent, waiting, send } = queueWith(verdict);
    expect([1, 2, 3, 4, 5].map((first) => send(first))).toEqual(new Array(5).fill("queued"));
    expect([queue.length, waiting]).toEqual([5, [queue]]);
    verdict.current = "sent";
    expect(send(6)).toBe("queued"); // must not overtake those that wait
    expect([queue.drain(2, now), sent, queue.length]).toEqual([true, [1, 2], 4]);
    expect([queue.drain(100, now), sent, queue.length]).toEqual([true, [1, 2, 3, 4, 5, 6], 0]);
    expect([send(7), queue.length]).toEqual(["sent", 0]);
  });

  test("stops for lack of a slot, and continues with the same datagram", () => {
    const verdict = { current: "no-slot" as Verdict };
    const { queue, sent, send } = queueWith(verdict);
    send(1);
    send(2);
    expect([queue.drain(8, now), queue.length]).toEqual([false, 2]);
    verdict.current = "sent";
    expect([queue.drain(8, now), sent]).toEqual([true, [1, 2]]);
  });

  test("loses datagrams that became too large, or whose carrier is full by now", () => {
    for (const lost of ["too-large", "carrier-full"] as const) {
      const verdict = { current: "no-slot" as Verdict };
      const { queue, sent, send } = queueWith(verdict);
      send(1);
      verdict.current = lost;
      expect([queue.drain(8, now), queue.length, sent]).toEqual([true, 0, []]);
      expect(send(2)).toBe(lost === "too-large" ? "too-large" : "queue-full");
    }
  });

  test(`holds ${UDP_QUEUE_DATAGRAMS} datagrams or ${UDP_QUEUE_BYTES} bytes, and copies what waits`, () => {
    const verdict = { current: "no-slot" as Verdict };
    const many = queueWith(verdict);
    for (let i = 0; i < UDP_QUEUE_DATAGRAMS; i++) expect(many.send(i)).toBe("queued");
    expect([many.send(1), many.queue.length]).toEqual(["queue-full", UDP_QUEUE_DATAGRAMS]);
    const large = queueWith(verdict);
    expect([large.send(1, UDP_QUEUE_BYTES - 1), large.send(2, 2), large.send(3, 1)]).toEqual([
      "queued",
      "queue-full",
      "queued",
    ]);
    verdict.current = "sent";
    large.queue.drain(1, now);
    verdict.current = "no-slot";
    expect([large.send(4, UDP_QUEUE_BYTES - 1), large.send(5, 1)]).toEqual(["queued", "queue-full"]);
    large.queue.clear();
    expect([large.queue.length, large.send(6, UDP_QUEUE_BYTES)]).toEqual([0, "queued"]);
    const payload = Uint8Array.of(1);
    const copied = queueWith(verdict);
    copied.queue.send(local, remote, payload, now);
    payload[0] = 2;
    verdict.current = "sent";
    copied.queue.drain(1, now);
    expect(copied.sent).toEqual([1]);
  });

  test("takes turns with others, eight datagrams each", () => {
    const host = new Host("fd00::1", { slots: 4 });
    const queues = [host.stack.createUdpQueue(), host.stack.createUdpQueue()];
    const order: number[] = [];
    for (let i = 0; i < 14; i++)
      for (const [which, queue] of queues.entries())
        queue.send({ ...local, port: 100 + which }, remote, new Uint8Array(1), now);
    for (let turn = 0; turn < 20 && queues.some(({ length }) => length > 0); turn++) {
      for (const packet of host.output.take()) order.push(memoryOf(packet).view.getUint16(40) - 100);
      host.stack.flush(now);
    }
    for (const packet of host.output.take()) order.push(memoryOf(packet).view.getUint16(40) - 100);
    expect(order).toHaveLength(28);
    expect(order.filter((which) => which === 0)).toHaveLength(14);
    const runs = order
      .join("")
      .match(/0+|1+/g)!
      .map((run) => run.length);
    expect(Math.max(...runs)).toBeLessThanOrEqual(8);
  });
});

describe("ports", () => {
  test("a socket on one address and one on all can share a port; datagrams go to the more specific one", () => {
    const host = new Host("fd00::1");
    const peer = new Host("fd00::9");
    const heard: string[] = [];
    const bind = (name: string, address?: IpAddress) =>
      host.stack.bindUdp({ port: 7, address }, { onDatagram: () => void heard.push(name) });
    const any = bind("any");
    const own = bind("own", ip("fd00::1"));
    expect(() => bind("again")).toThrow(expect.objectContaining({ code: "ERR_ADDRESS_IN_USE" }));
    expect(() => bind("again", ip("fd00::1"))).toThrow(expect.objectContaining({ code: "ERR_ADDRESS_IN_USE" }));
    bind("other", ip("fd00::2"));
    const sender = peer.stack.bindUdp({ port: 9 }, ignore);
    const ask = () => {
      sender.send({ address: host.address, port: 7 }, new Uint8Array(1), now);
      carry(peer, host);
      return heard.splice(0);
    };
    expect(ask()).toEqual(["own"]);
    own.close();
    own.close();
    expect([own.closed, ask()]).toEqual([true, ["any"]]);
    any.close();
    expect(ask()).toEqual([]);
    expect(bind("own", ip("fd00::1")).closed).toBe(false);
  });

  test.each([-1, 65_536, 1.5, Number.NaN])("%d is refused", (port) => {
    const host = new Host("fd00::1");
    const wrong = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });
    expect(() => host.stack.bindUdp({ port }, ignore)).toThrow(wrong);
    expect(() => host.stack.listenTcp({ port }, { onRequest: () => undefined })).toThrow(wrong);
    if (port > 1.5 || port < 0)
      expect(() => host.stack.connectTcp({ address: ip("fd00::9"), port }, {}, now)).toThrow(wrong);
  });

  test("65535 and 1 are accepted", () => {
    const host = new Host("fd00::1");
    for (const port of [1, 65_535]) {
      expect(host.stack.bindUdp({ port }, ignore).port).toBe(port);
      expect(host.stack.listenTcp({ port }, { onRequest: () => undefined }).port).toBe(port);
      expect(host.stack.connectTcp({ address: ip("fd00::9"), port }, {}, now).remote.port).toBe(port);
    }
    expect(() => host.stack.listenTcp({ port: 0 }, { onRequest: () => undefined })).toThrow("between 1 and 65535");
  });

  test("a listener on one address and one on all can share a port, and closing frees it", () => {
    const host = new Host("fd00::1");
    const listen = (address?: IpAddress) => host.stack.listenTcp({ port: 80, address }, { onRequest: () => undefined });
    const own = listen(host.address);
    listen();
    expect(() => listen(host.address)).toThrow(expect.objectContaining({ code: "ERR_ADDRESS_IN_USE" }));
    own.close();
    listen(host.address);
  });

  test("free ports are from the ephemeral range, and none is given out twice", () => {
    const host = new Host("fd00::1");
    const ports = Array.from({ length: 16_384 }, () => host.stack.bindUdp({ port: 0 }, ignore).port);
    expect(new Set(ports).size).toBe(16_384);
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(32_768);
    expect(() => host.stack.bindUdp({ port: 0 }, ignore)).toThrow(
      expect.objectContaining({ code: "ERR_LIMIT", retryable: true }),
    );
  });

  test("a bound socket sends from its address only, and to its family", () => {
    const host = new Host("fd00::1");
    const socket = host.stack.bindUdp({ port: 7, address: ip("fd00::5") }, ignore);
    expect(formatAddrPort(socket.localFor(remote.address)!)).toBe("[fd00::5]:7");
    expect(socket.localFor(ip("10.0.0.9"))).toBeUndefined();
    expect(socket.send({ address: ip("10.0.0.9"), port: 9 }, new Uint8Array(1), now)).toBe("no-address");
  });
});

describe("datagrams to ports without socket", () => {
  function withFallback(fallback: UdpFallback | UdpFallback["onDatagram"] | undefined) {
    const host = new Host("fd00::1");
    const peer = new Host("fd00::9");
    host.stack.setUdpFallback(fallback);
    const heard: string[] = [];
    const sender = peer.stack.bindUdp(
      { port: 9 },
      { onDatagram: () => undefined, onUnreachable: (to) => void heard.push(formatAddrPort(to)) },
    );
    sender.send({ address: host.address, port: 70 }, Uint8Array.of(1, 2, 3), now);
    carry(peer, host);
    carry(host, peer);
    return { host, peer, heard };
  }

  test("go to the fallback with both ends and the payload", () => {
    const strays: string[] = [];
    const { heard } = withFallback(({ local: to, remote: from, payload }) => {
      strays.push(`${formatAddrPort(from)} → ${formatAddrPort(to)} ${payload.join(" ")}`);
      return true;
    });
    expect([strays, heard]).toEqual([["[fd00::9]:9 → [fd00::1]:70 1 2 3"], []]);
  });

  test("are refused when the fallback declines them or is removed", () => {
    expect(withFallback(() => false).heard).toEqual(["[fd00::1]:70"]);
    expect(withFallback(undefined).heard).toEqual(["[fd00::1]:70"]);
  });

  test("the fallback learns when its own datagram is refused by the destination, not by another host", () => {
    const refused: string[] = [];
    const fallback = {
      onDatagram: () => true,
      onUnreachable: (from: AddrPort, to: AddrPort) =>
        void refused.push(`${formatAddrPort(from)} → ${formatAddrPort(to)}`),
    };
    const { host, peer } = withFallback(fallback);
    host.stack.sendUdp(
      { address: host.address, port: 71 },
      { address: peer.address, port: 72 },
      new Uint8Array(1),
      now,
    );
    carry(host, peer);
    const [unreachable] = peer.output.take();
    const other = unreachable!.slice();
    other[23] = 8; // sent by another host: the checksum must fit
    memoryOf(other).view.setUint16(42, memoryOf(other).view.getUint16(42) + 1);
    host.stack.handlePacket(memoryOf(other), 0, other.length, now);
    expect(refused).toEqual([]);
    host.stack.handlePacket(memoryOf(unreachable!), 0, unreachable!.length, now);
    expect(refused).toEqual(["[fd00::1]:71 → [fd00::9]:72"]);
  });
});
