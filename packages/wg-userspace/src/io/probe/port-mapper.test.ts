import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { utf8 } from "../../base/bytes.ts";
import { formatAddrPort, ip } from "../../base/ip.ts";
import { descriptionXml, searchAnswer, soapAnswer } from "../../testing/upnp-answers.ts";
import { PortMapper, type PortMapperOptions } from "./port-mapper.ts";

const LOOPBACK = ip("127.0.0.1");
const LOCAL_PORT = 41_641;

/** A gateway on this machine that answers as scripted. */
class LocalGateway {
  readonly portControl = createSocket("udp4");
  readonly ssdp = createSocket("udp4");
  /** Answers from this socket come from another port than the gateway's. */
  readonly elsewhere = createSocket("udp4");
  readonly http: Server;
  /** Requests of NAT-PMP: operation and lifetime. */
  readonly asked: string[] = [];
  readonly calls: string[] = [];
  speaksPmp = false;
  speaksUpnp = false;
  answersFrom: Socket = this.portControl;
  describes = (): string => descriptionXml([["WANIPConnection:2", "/ctl"]]);

  constructor() {
    this.portControl.on("message", (packet, from) => {
      if (packet[0] !== 0) return;
      this.asked.push(packet[1] === 0 ? "address" : `map for ${packet.readUInt32BE(8)}`);
      if (!this.speaksPmp) return;
      const answer =
        packet[1] === 0
          ? Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 1, 198, 51, 100, 1)
          : Buffer.concat([Uint8Array.of(0, 129, 0, 0, 0, 0, 0, 1), packet.subarray(4, 12)]);
      this.answersFrom.send(answer, from.port, from.address);
    });
    this.ssdp.on("message", (_search, from) => {
      if (this.speaksUpnp) this.ssdp.send(utf8(searchAnswer(this.#location)), from.port, from.address);
    });
    this.http = createServer((request, response) => {
      const action = /#(\w+)"/.exec(String(request.headers["soapaction"]))?.[1];
      this.calls.push(action ?? `${request.method} ${request.url}`);
      request.resume();
      response.on("error", () => undefined); // the client may close when the response is too long
      response.end(
        action === undefined ? this.describes() : soapAnswer(action, { NewExternalIPAddress: "198.51.100.2" }),
      );
    });
  }

  get ports(): NonNullable<PortMapperOptions["ports"]> {
    return { portControl: this.portControl.address().port, ssdp: this.ssdp.address().port };
  }

  async open(): Promise<void> {
    for (const socket of this.#sockets) {
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
    }
    this.http.listen(0, "127.0.0.1");
    await once(this.http, "listening");
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.http.close();
    this.http.closeAllConnections();
  }

  get #sockets(): Socket[] {
    return [this.portControl, this.ssdp, this.elsewhere];
  }

  get #location(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}/root.xml`;
  }
}

describe("PortMapper", () => {
  let gateway: LocalGateway;
  let changes: number;
  beforeEach(async () => {
    gateway = new LocalGateway();
    await gateway.open();
    changes = 0;
  });
  afterEach(() => gateway.close());

  const mapper = (options: Partial<PortMapperOptions> = {}): PortMapper =>
    new PortMapper({
      localPort: () => LOCAL_PORT,
      gateway: async () => ({ gateway: LOOPBACK, self: LOOPBACK }),
      ports: gateway.ports,
      onChange: () => changes++,
      ...options,
    });
  const external = (of: PortMapper): string => (of.external === undefined ? "none" : formatAddrPort(of.external));

  it("maps by NAT-PMP and deletes the mapping when disposed", async () => {
    gateway.speaksPmp = true;
    const mapping = mapper();
    expect(mapping.seen).toEqual({ pmp: undefined, pcp: undefined, upnp: undefined });
    await mapping.refresh();
    expect(external(mapping)).toBe("198.51.100.1:41641");
    expect(mapping.seen).toEqual({ pmp: true, pcp: false, upnp: false });
    await mapping[Symbol.asyncDispose]();
    expect(gateway.asked.at(-1)).toBe("map for 0");
    expect(external(mapping)).toBe("none");
    expect(changes).toBe(1);
    await mapping[Symbol.asyncDispose]();
    await mapping.refresh();
    expect(external(mapping)).toBe("none");
  });

  it("maps by UPnP, over real HTTP", async () => {
    gateway.speaksUpnp = true;
    await using mapping = mapper();
    await mapping.refresh();
    expect(external(mapping)).toBe("198.51.100.2:41641");
    expect(gateway.calls).toEqual(["GET /root.xml", "GetExternalIPAddress", "AddPortMapping"]);
    await mapping[Symbol.asyncDispose]();
    expect(gateway.calls.at(-1)).toBe("DeletePortMapping");
  });

  it("ignores answers of NAT-PMP from another port", async () => {
    gateway.speaksPmp = true;
    gateway.answersFrom = gateway.elsewhere;
    await using mapping = mapper();
    await mapping.refresh();
    expect(gateway.asked.length).toBeGreaterThan(0);
    expect(external(mapping)).toBe("none");
    expect(mapping.seen.pmp).toBe(false);
  });

  it("reads no description of more than 64 KiB", async () => {
    gateway.speaksUpnp = true;
    gateway.describes = () => `${descriptionXml([["WANIPConnection:2", "/ctl"]])}${" ".repeat(10_000_000)}`;
    await using mapping = mapper();
    await mapping.refresh();
    expect(external(mapping)).toBe("none");
    expect(mapping.seen.upnp).toBe(true);
    expect(gateway.calls).toEqual(["GET /root.xml"]);
  });

  it("runs once more for all calls made while it runs", async () => {
    let looks = 0;
    await using mapping = mapper({
      gateway: async () => {
        looks++;
        return { gateway: LOOPBACK, self: LOOPBACK };
      },
    });
    await Promise.all([mapping.refresh(), mapping.refresh(), mapping.refresh(), mapping.refresh()]);
    expect(looks).toBe(2);
  });

  it("can be disposed during a search, which then ends", async () => {
    gateway.speaksPmp = true;
    const mapping = mapper();
    const searching = mapping.refresh();
    while (gateway.asked.length === 0) await sleep(1);
    await mapping[Symbol.asyncDispose]();
    await searching;
    expect(external(mapping)).toBe("none");
  });

  it("does nothing without a gateway, a port, or an address that is ours, and does not reject", async () => {
    for (const options of [
      { gateway: async () => undefined },
      { gateway: () => Promise.reject(new Error("no such tool")) },
      { localPort: () => undefined },
      { gateway: async () => ({ gateway: LOOPBACK, self: ip("10.99.99.99") }) },
    ]) {
      await using mapping = mapper(options);
      await mapping.refresh();
      expect(external(mapping)).toBe("none");
    }
    expect(gateway.asked).toEqual([]);
  });
});
