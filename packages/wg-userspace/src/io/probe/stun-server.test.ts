import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { formatAddrPort } from "../../base/ip.ts";
import { encodeBindingRequest, parseBindingResponse } from "../../stun/message.ts";
import { nodeRandom } from "../host/crypto-suite.ts";
import { StunListener, type StunListenerOptions } from "./stun-server.ts";

const TX = new Uint8Array(12).fill(7);

const open = (options: Partial<StunListenerOptions> = {}) =>
  StunListener.open({ host: "", port: 0, random: nodeRandom, ...options });

/** Sends one datagram; gives the address in the answer, or "nothing" when the next good request is answered instead. */
async function ask(server: StunListener, host: string, datagram: Uint8Array): Promise<string> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    const answered = once(socket, "message") as Promise<[Buffer]>;
    await sent(socket, datagram, server.port, host);
    const last = new Uint8Array(12).fill(9);
    await sent(socket, encodeBindingRequest(last), server.port, host);
    const [answer] = await answered;
    const response = parseBindingResponse(answer)!;
    if (response.transactionId[0] === 9) return "nothing";
    return formatAddrPort(response.mapped) === formatAddrPort({ ...response.mapped, port: socket.address().port })
      ? formatAddrPort(response.mapped).replace(/:\d+$/, ":our port")
      : "wrong port";
  } finally {
    socket.close();
  }
}

function sent(socket: Socket, datagram: Uint8Array, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(datagram, port, host, (error) => (error === null ? resolve() : reject(error))),
  );
}

async function hasIpv6Loopback(): Promise<boolean> {
  const socket = createSocket("udp6");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address: "::1", port: 0 }, resolve);
    });
    return true;
  } catch {
    return false; // a machine without IPv6
  } finally {
    socket.close();
  }
}

describe("StunListener", () => {
  it("returns their address and port to clients of both families", async () => {
    await using server = await open();
    expect(await ask(server, "127.0.0.1", encodeBindingRequest(TX))).toBe("127.0.0.1:our port");
    if (await hasIpv6Loopback()) expect(await ask(server, "::1", encodeBindingRequest(TX))).toBe("[::1]:our port");
    expect(server.counts.answeredV4).toBeGreaterThan(0);
  });

  it("does not answer other datagrams than STUN requests, and counts them", async () => {
    await using server = await open({ host: "127.0.0.1" });
    expect(await ask(server, "127.0.0.1", new Uint8Array(40))).toBe("nothing");
    expect(server.counts.dropped.malformed).toBe(1);
  });

  it("reports why it cannot bind a port", async () => {
    await using server = await open({ host: "127.0.0.1" });
    await expect(open({ host: "127.0.0.1", port: server.port })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
      message: `another program uses UDP port ${server.port}`,
    });
    await expect(open({ host: "192.0.2.1" })).rejects.toMatchObject({ code: "ERR_ADDRESS_NOT_AVAILABLE" });
  });

  it("releases the port when it is closed, and may be closed twice", async () => {
    const server = await open({ host: "127.0.0.1" });
    await Promise.all([server.close(), server.close()]);
    await using again = await open({ host: "127.0.0.1", port: server.port });
    expect(again.port).toBe(server.port);
  });
});
