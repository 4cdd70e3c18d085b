import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { EngineError } from "wg-userspace/base/errors";
import { type AddrPort, formatAddrPort, ip } from "wg-userspace/base/ip";
import { silentLogger } from "wg-userspace/base/ports";
import { UdpRelay, type UdpRelayOptions } from "./udp-relay.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

const workspace = ip("fd7a::1");
const client = { address: ip("fd7a::2"), port: 40_000 };

/** A program in the workspace on 127.0.0.1 that answers with its sender's port in front. */
async function program(): Promise<{ socket: Socket; port: number; senders: number[] }> {
  const socket = createSocket("udp4");
  const senders: number[] = [];
  socket.on("message", (payload, from) => {
    senders.push(from.port);
    socket.send(Buffer.concat([Buffer.from("echo:"), payload]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  let open = true;
  socket.once("close", () => {
    open = false;
  });
  cleanup.push(() => void (open && socket.close()));
  return { socket, port: socket.address().port, senders };
}

class Tunnel {
  readonly answers: { text: string; from: string; to: string }[] = [];
  readonly refused: { local: string; remote: string; payloadLength: number }[] = [];
  fail: Error | undefined;
  #heard: () => void = () => undefined;

  send(payload: Uint8Array, from: AddrPort, to: AddrPort): boolean {
    const fail = this.fail;
    this.answers.push({
      text: Buffer.from(payload).toString(),
      from: formatAddrPort(from),
      to: formatAddrPort(to),
    });
    this.#heard();
    if (fail !== undefined) throw fail;
    return true;
  }
  refuse(local: AddrPort, remote: AddrPort, payloadLength: number): void {
    this.refused.push({ local: formatAddrPort(local), remote: formatAddrPort(remote), payloadLength });
    this.#heard();
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#heard = resolve));
  }
}

function relayTo(tunnel: Tunnel, options: UdpRelayOptions = {}): UdpRelay {
  const relay = new UdpRelay(tunnel, silentLogger, options);
  cleanup.push(() => relay.close());
  return relay;
}

function datagram(port: number, text: string, remote: AddrPort = client) {
  return { local: { address: workspace, port }, remote, payload: new Uint8Array(Buffer.from(text)) };
}

describe("UdpRelay", () => {
  it("carries datagrams to the program and its answers back, with one host socket per client", async () => {
    const { port, senders } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel);
    const other = { ...client, port: 40_001 };
    const borrowed = datagram(port, "one");
    relay.handleDatagram(borrowed);
    borrowed.payload.fill(0x78); // the lender reuses its buffer
    relay.handleDatagram(datagram(port, "two"));
    relay.handleDatagram(datagram(port, "three", other));
    await tunnel.until(() => tunnel.answers.length === 3);
    expect(relay.openFlows).toBe(2);
    const from = `[fd7a::1]:${port}`;
    expect(new Set(tunnel.answers)).toEqual(
      new Set([
        { text: "echo:one", from, to: "[fd7a::2]:40000" },
        { text: "echo:two", from, to: "[fd7a::2]:40000" },
        { text: "echo:three", from, to: "[fd7a::2]:40001" },
      ]),
    );
    expect(new Set(senders).size).toBe(2);
  });

  it("reports an unreachable port to the client, and closes the flow", async () => {
    const { socket, port } = await program();
    socket.close();
    await once(socket, "close");
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel);
    relay.handleDatagram(datagram(port, "hello"));
    await tunnel.until(() => tunnel.refused.length > 0);
    expect(tunnel.refused).toEqual([{ local: `[fd7a::1]:${port}`, remote: "[fd7a::2]:40000", payloadLength: 5 }]);
    expect(relay.openFlows).toBe(0);
  });

  it("closes idle flows, keeps used ones, and a later datagram opens a new one", async () => {
    const { port, senders } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel, { idleMs: 40 });
    relay.handleDatagram(datagram(port, "a"));
    while (relay.openFlows > 0) await sleep(5);
    expect(tunnel.answers.map((answer) => answer.text)).toEqual(["echo:a"]);
    relay.handleDatagram(datagram(port, "b"));
    await tunnel.until(() => tunnel.answers.length === 2);
    expect(senders).toHaveLength(2);
  });

  it("makes room for a new flow by ending the one that was idle longest", async () => {
    const { socket, port } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel, { flows: { total: 2, perPeer: 2 } });
    const from = (last: number) => ({ ...client, port: last });
    relay.handleDatagram(datagram(port, "1", from(1)));
    await tunnel.until(() => tunnel.answers.length === 1);
    relay.handleDatagram(datagram(port, "2", from(2)));
    await tunnel.until(() => tunnel.answers.length === 2);
    relay.handleDatagram(datagram(port, "1", from(1)));
    await tunnel.until(() => tunnel.answers.length === 3);
    relay.handleDatagram(datagram(port, "3", from(3)));
    await tunnel.until(() => tunnel.answers.length === 4);
    expect(relay.openFlows).toBe(2);
    const senders: number[] = [];
    socket.on("message", (_payload, sender) => senders.push(sender.port));
    relay.handleDatagram(datagram(port, "1", from(1)));
    relay.handleDatagram(datagram(port, "3", from(3)));
    await tunnel.until(() => tunnel.answers.length === 6);
    expect([relay.openFlows, new Set(senders).size]).toEqual([2, 2]);
  });

  it("makes room within the share of the client that has it all, not at the cost of others", async () => {
    const { port } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel, { flows: { total: 4, perPeer: 2 } });
    const other = { ...client, address: ip("fd7a::99") };
    relay.handleDatagram(datagram(port, "x", other));
    await tunnel.until(() => tunnel.answers.length === 1);
    for (let i = 1; i <= 6; i++) {
      relay.handleDatagram(datagram(port, "y", { ...client, port: i }));
      await tunnel.until(() => tunnel.answers.length === 1 + i);
    }
    expect(relay.openFlows).toBe(3);
    relay.handleUnreachable({ address: workspace, port }, other);
    expect(relay.openFlows).toBe(2); // the other client's flow still existed
  });

  it("ends a flow whose client no longer listens, and all of them when it is closed", async () => {
    const { port } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel);
    relay.handleDatagram(datagram(port, "x"));
    relay.handleDatagram(datagram(port, "y", { ...client, port: 2 }));
    await tunnel.until(() => tunnel.answers.length === 2);
    relay.handleUnreachable({ address: workspace, port }, client);
    relay.handleUnreachable({ address: workspace, port: port - 1 }, client);
    expect(relay.openFlows).toBe(1);
    relay.close();
    expect(relay.openFlows).toBe(0);
  });

  it("continues when an answer is too large for the tunnel", async () => {
    const { port } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel);
    tunnel.fail = new EngineError("ERR_MESSAGE_TOO_LARGE", "too large");
    relay.handleDatagram(datagram(port, "x".repeat(2000)));
    await tunnel.until(() => tunnel.answers.length === 1);
    tunnel.fail = undefined;
    relay.handleDatagram(datagram(port, "small"));
    await tunnel.until(() => tunnel.answers.length === 2);
    expect(tunnel.answers[1]?.text).toBe("echo:small");
    expect(relay.openFlows).toBe(1);
  });

  it("drops the newest datagrams of a burst that comes before the socket is ready", async () => {
    const { port } = await program();
    const tunnel = new Tunnel();
    const relay = relayTo(tunnel);
    for (let i = 0; i < 100; i++) relay.handleDatagram(datagram(port, String(i)));
    await tunnel.until(() => tunnel.answers.length === 64);
    expect(tunnel.answers.map((answer) => answer.text)).toEqual(Array.from({ length: 64 }, (_, i) => `echo:${i}`));
  });
});
