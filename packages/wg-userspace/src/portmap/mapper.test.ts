import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8, viewOf } from "../base/bytes.ts";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { formatAddrPort, type IpAddress, ip, ipEqual } from "../base/ip.ts";
import { LinkRandom } from "../testing/link.ts";
import { descriptionXml, searchAnswer, soapAnswer, soapFault } from "../testing/upnp-answers.ts";
import { isPublicIpv4 } from "./external-address.ts";
import type { HttpRequest } from "./igd.ts";
import { Mapper } from "./mapper.ts";
import type { PortMapNetwork } from "./mapping.ts";
import { elementsNamed, parseXml } from "./xml.ts";

const GATEWAY = ip("192.168.1.1");
const NETWORK: PortMapNetwork = { gateway: GATEWAY, self: ip("192.168.1.7"), localPort: 41641 };
const WAN = "198.51.100.1";

/** A scripted router, one hop and 1 ms away. It grants the port that is requested. */
class Gateway {
  pmp = true;
  pcp = true;
  upnp = true;
  wan = WAN;
  lifetimeS = 7200;
  result = 0;
  /** Faults that answer the calls of AddPortMapping, in order; 0 for success. */
  faults: readonly number[] = [];
  /** The changes that a hostile neighbour makes to packets. */
  tamper: (answer: Uint8Array) => Uint8Array = (answer) => answer;
  location = "http://192.168.1.1:5000/root.xml";
  readonly added: string[] = [];
  readonly mapped = new Map<string, number>();

  /** The answer to a datagram, if any. */
  portControl(packet: Uint8Array): Uint8Array | undefined {
    const view = viewOf(packet);
    if (packet[0] === 0 && this.pmp) {
      if (packet[1] === 0) return this.tamper(Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 9, ...ip(this.wan)));
      const answer = new Uint8Array(16);
      answer.set([0, 129, 0, this.result, 0, 0, 0, 9, packet[4]!, packet[5]!, packet[6]!, packet[7]!]);
      this.#note("pmp", view.getUint16(6), view.getUint32(8));
      viewOf(answer).setUint32(12, Math.min(view.getUint32(8), this.lifetimeS));
      return this.tamper(answer);
    }
    if (packet[0] === 2 && this.pcp) {
      const answer = packet.slice();
      answer[1]! |= 0x80;
      answer[3] = packet[1] === 1 ? this.result : 0;
      if (packet[1] === 1) {
        this.#note("pcp", view.getUint16(42), view.getUint32(4));
        viewOf(answer).setUint32(4, Math.min(view.getUint32(4), this.lifetimeS));
        answer.set(ip(this.wan), 56);
      }
      return this.tamper(answer);
    }
    return undefined;
  }

  http(request: HttpRequest): string | undefined {
    if (request.method === "GET") return descriptionXml([["WANIPConnection:1", "/ctl"]]);
    const call = parseXml(request.body)!.children[0]!.children[0]!;
    const field = (name: string): number => Number(elementsNamed(call, name)[0]?.text);
    if (call.name === "GetExternalIPAddress") return soapAnswer(call.name, { NewExternalIPAddress: this.wan });
    if (call.name === "AddPortMapping") {
      const fault = this.faults[this.added.length] ?? 0;
      this.added.push(`${field("NewExternalPort")} for ${field("NewLeaseDuration")}`);
      if (fault !== 0) return soapFault(fault);
      this.#note("upnp", field("NewExternalPort"), 1);
    } else this.#note("upnp", field("NewExternalPort"), 0);
    return soapAnswer(call.name, {});
  }

  #note(protocol: string, port: number, lifetimeS: number): void {
    if (this.result !== 0) return;
    if (lifetimeS === 0) this.mapped.delete(protocol);
    else this.mapped.set(protocol, port);
  }
}

/** A mapper and its gateway on virtual time. */
class Rig {
  readonly gateway = new Gateway();
  readonly mapper: Mapper;
  now: Instant = instant(1_000);
  changes = 0;
  idles = 0;
  renewals = 0;
  sent = 0;
  readonly requested: string[] = [];
  /** Source address of answers. */
  source: IpAddress = GATEWAY;
  network: PortMapNetwork | undefined = NETWORK;
  readonly #events: { readonly at: Instant; readonly run: () => void }[] = [];

  constructor() {
    this.mapper = new Mapper(new LinkRandom(5), {
      sendPortControl: (to, packet) => {
        this.sent++;
        expect(ipEqual(to, this.network!.gateway)).toBe(true);
        const answer = this.gateway.portControl(packet);
        if (answer !== undefined) this.#later(() => this.mapper.handlePortControl(this.source, answer, this.now));
      },
      sendSearch: () => {
        this.sent++;
        if (!this.gateway.upnp) return;
        const answer = utf8(searchAnswer(this.gateway.location));
        this.#later(() => this.mapper.handleSearchAnswer(this.source, answer, this.now));
      },
      request: (id, request) => {
        this.requested.push(formatAddrPort(request.url.at));
        const body = this.gateway.http(request);
        if (id !== undefined) this.#later(() => this.mapper.handleHttp(id, body, this.now));
      },
      changed: () => this.changes++,
      renewalDue: () => {
        this.renewals++;
        this.mapper.refresh(this.network, this.now);
      },
      idle: () => this.idles++,
    });
  }

  get external(): string {
    return this.mapper.external === undefined ? "none" : formatAddrPort(this.mapper.external);
  }

  /** Runs events and timers for this long. */
  pass(ms: number): void {
    const end = addMs(this.now, ms);
    for (let steps = 0; ; steps++) {
      expect(steps).toBeLessThan(100_000);
      const event = this.#events[0]?.at;
      const timer = this.mapper.nextTimeout();
      const next = Math.min(event ?? Number.POSITIVE_INFINITY, timer ?? Number.POSITIVE_INFINITY);
      if (next > end) break;
      this.now = instant(Math.max(this.now, next));
      if (event !== undefined && event <= this.now) this.#events.shift()!.run();
      else this.mapper.handleTimeout(this.now);
    }
    this.now = end;
  }

  refresh(): void {
    this.mapper.refresh(this.network, this.now);
    this.pass(3_000);
    expect(this.mapper.isIdle).toBe(true);
  }

  #later(run: () => void): void {
    this.#events.push({ at: addMs(this.now, 1), run });
  }
}

const only = (protocol: "pmp" | "pcp" | "upnp", rig = new Rig()): Rig => {
  for (const name of ["pmp", "pcp", "upnp"] as const) rig.gateway[name] = name === protocol;
  return rig;
};
const PROTOCOLS = ["pmp", "pcp", "upnp"] as const;

describe("Mapper", () => {
  it.each(PROTOCOLS)("maps by %s, renews at half life with the same port, and deletes on release", (protocol) => {
    const rig = only(protocol);
    rig.refresh();
    expect(rig.external).toBe(`${WAN}:41641`);
    expect(rig.mapper.seen(rig.now)).toEqual({ pmp: false, pcp: false, upnp: false, [protocol]: true });
    expect([...rig.gateway.mapped]).toEqual([[protocol, 41641]]);
    rig.pass(24 * 3_600_000 + 60_000); // a search takes a moment
    expect(rig.renewals).toBe(24);
    expect(rig.external).toBe(`${WAN}:41641`);
    expect(rig.changes).toBe(1);
    rig.mapper.release(rig.now);
    rig.pass(500);
    expect(rig.mapper.isIdle).toBe(true);
    expect(rig.external).toBe("none");
    expect(rig.gateway.mapped.size).toBe(0);
    expect(rig.mapper.nextTimeout()).toBeUndefined();
  });

  it("makes one mapping, by NAT-PMP, where a gateway supports everything, and sees all three", () => {
    const rig = new Rig();
    rig.mapper.refresh(NETWORK, rig.now);
    rig.pass(3);
    expect(rig.external).toBe(`${WAN}:41641`);
    rig.pass(300);
    expect(rig.mapper.isIdle).toBe(true);
    expect([...rig.gateway.mapped.keys()]).toEqual(["pmp"]);
    expect(rig.mapper.seen(rig.now)).toEqual({ pmp: true, pcp: true, upnp: true });
    expect(rig.requested).toEqual([]);
  });

  it("stays with the protocol that holds the mapping when a preferred one appears", () => {
    const rig = only("pcp");
    rig.refresh();
    rig.gateway.pmp = true;
    rig.refresh();
    expect([...rig.gateway.mapped.keys()]).toEqual(["pcp"]);
    expect(rig.changes).toBe(1);
  });

  it("continues with the next protocol when one is refused", () => {
    const rig = new Rig();
    rig.gateway.result = 2;
    rig.refresh();
    expect(rig.mapper.protocol).toBe("upnp");
    expect(rig.external).toBe(`${WAN}:41641`);
  });

  it("gives up within 250 ms without an answer, after a few datagrams", () => {
    const rig = new Rig();
    Object.assign(rig.gateway, { pmp: false, pcp: false, upnp: false });
    rig.mapper.refresh(NETWORK, rig.now);
    expect(rig.mapper.seen(rig.now)).toEqual({ pmp: undefined, pcp: undefined, upnp: undefined });
    rig.pass(250);
    expect(rig.mapper.isIdle).toBe(true);
    expect(rig.mapper.seen(rig.now)).toEqual({ pmp: false, pcp: false, upnp: false });
    expect({ changes: rig.changes, idles: rig.idles, sent: rig.sent }).toEqual({ changes: 0, idles: 1, sent: 8 });
    expect(rig.mapper.nextTimeout()).toBeUndefined();
  });

  it.each(["10.0.0.2", "100.64.3.4", "0.0.0.0"])("holds no mapping when the gateway itself is at %s", (wan) => {
    for (const protocol of PROTOCOLS) {
      const rig = only(protocol);
      rig.gateway.wan = wan;
      rig.refresh();
      expect(rig.external).toBe("none");
      expect(rig.gateway.mapped.size).toBe(0);
      expect(rig.mapper.seen(rig.now)[protocol]).toBe(true);
    }
  });

  it.each(PROTOCOLS)("loses the mapping by %s when the outside address turns private", (protocol) => {
    const rig = only(protocol);
    rig.refresh();
    rig.gateway.wan = "100.64.3.4";
    rig.refresh();
    expect(rig.external).toBe("none");
    expect(rig.changes).toBe(2);
  });

  it("sends nothing without a gateway, without NAT, or when the gateway is not a home router", () => {
    for (const network of [
      undefined,
      { ...NETWORK, self: ip("198.51.100.7") },
      { ...NETWORK, gateway: ip("198.51.100.7") },
    ]) {
      const rig = new Rig();
      rig.network = network;
      rig.refresh();
      expect({ sent: rig.sent, idles: rig.idles }).toEqual({ sent: 0, idles: 1 });
    }
  });

  it("remembers a service for ten minutes, and a lease to its end, when the gateway falls silent", () => {
    const rig = only("pcp");
    rig.refresh();
    rig.gateway.pcp = false;
    rig.refresh();
    expect(rig.mapper.seen(rig.now).pcp).toBe(true);
    rig.pass(7_100_000);
    expect(rig.external).toBe(`${WAN}:41641`);
    expect(rig.mapper.seen(rig.now).pcp).toBe(false);
    rig.pass(100_000);
    expect(rig.external).toBe("none");
    expect(rig.renewals).toBeGreaterThan(3);
    expect(rig.renewals).toBeLessThan(12);
    expect(rig.mapper.nextTimeout()).toBeUndefined();
  });

  it("forgets a mapping of another network, and deletes the one of another local port", () => {
    const rig = only("pmp");
    rig.refresh();
    rig.network = { ...NETWORK, localPort: 5555 };
    rig.refresh();
    expect(rig.external).toBe(`${WAN}:5555`);
    expect([...rig.gateway.mapped.values()]).toEqual([5555]);
    rig.network = { ...NETWORK, gateway: ip("192.168.2.1") };
    rig.source = rig.network.gateway;
    rig.gateway.pmp = false;
    rig.refresh();
    expect(rig.external).toBe("none");
    expect(rig.mapper.seen(rig.now).pmp).toBe(false);
  });

  it("on release also deletes a mapping that was only requested", () => {
    const rig = only("pmp");
    rig.mapper.refresh(NETWORK, rig.now);
    rig.pass(1); // the address is known, the mapping is under way
    expect(rig.gateway.mapped.size).toBe(1);
    expect(rig.external).toBe("none");
    rig.mapper.release(rig.now);
    rig.pass(500);
    expect(rig.gateway.mapped.size).toBe(0);
    expect(rig.external).toBe("none");
  });

  it("is released after 500 ms without an answer, and at once when there is nothing to delete", () => {
    const rig = only("pcp");
    rig.mapper.release(rig.now);
    expect(rig.idles).toBe(1);
    rig.refresh();
    rig.gateway.pcp = false;
    rig.mapper.release(rig.now);
    rig.mapper.release(rig.now);
    rig.pass(499);
    expect(rig.mapper.isIdle).toBe(false);
    rig.pass(1);
    expect(rig.mapper.isIdle).toBe(true);
  });

  it("uses another port when one is taken, and a permanent mapping where no other is granted", () => {
    const rig = only("upnp");
    rig.gateway.faults = [718, 725];
    rig.refresh();
    expect(rig.gateway.added[0]).toBe("41641 for 7200");
    const port = Number(rig.gateway.added[1]!.split(" ")[0]);
    expect(port).not.toBe(41641);
    expect(rig.gateway.added.slice(1)).toEqual([`${port} for 7200`, `${port} for 0`]);
    expect(rig.external).toBe(`${WAN}:${port}`);
  });

  it("stops asking after a few refusals", () => {
    const rig = only("upnp");
    rig.gateway.faults = Array.from({ length: 50 }, () => 718);
    rig.refresh();
    expect(rig.gateway.added).toHaveLength(4);
    expect(rig.external).toBe("none");
  });
});

describe("hostile answers", () => {
  it("from any host but the gateway are dropped", () => {
    const rig = new Rig();
    rig.source = ip("192.168.1.66");
    rig.refresh();
    expect(rig.external).toBe("none");
    expect(rig.mapper.seen(rig.now)).toEqual({ pmp: false, pcp: false, upnp: false });
    expect(rig.requested).toEqual([]);
  });

  it("that send us to another host are dropped", () => {
    const rig = only("upnp");
    for (const location of ["http://192.168.1.66:5000/root.xml", "http://127.0.0.1/", "http://router/x"]) {
      rig.gateway.location = location;
      rig.refresh();
    }
    expect(rig.requested).toEqual([]);
    expect(rig.mapper.seen(rig.now).upnp).toBe(false);
  });

  it.each([
    ["another nonce", "pcp", 24, 0xff],
    ["another inside port", "pcp", 40, 0xff],
    ["another inside port", "pmp", 8, 0xff],
    ["another version", "pmp", 0, 1],
  ] as const)("with %s are dropped (%s)", (_case, protocol, at, bits) => {
    const rig = only(protocol);
    rig.gateway.tamper = (answer) => {
      if (answer.length > at && answer.length !== 12 && answer.length !== 24) answer[at]! ^= bits;
      return answer;
    };
    rig.refresh();
    expect(rig.external).toBe("none");
    expect(rig.mapper.seen(rig.now)[protocol]).toBe(true);
  });

  it("with a lifetime of seconds map nothing, and no lifetime counts beyond the requested one", () => {
    for (const protocol of ["pmp", "pcp"] as const) {
      const brief = only(protocol);
      brief.gateway.lifetimeS = 59;
      brief.refresh();
      expect(brief.external).toBe("none");
      const endless = only(protocol);
      endless.gateway.tamper = (answer) => {
        if (answer.length === 16) answer.fill(0xff, 12, 16);
        if (answer.length === 60) answer.fill(0xff, 4, 8);
        return answer;
      };
      endless.refresh();
      expect(endless.external).toBe(`${WAN}:41641`);
      expect(endless.mapper.nextTimeout()! - endless.now).toBeLessThanOrEqual(3_600_000);
    }
  });

  it("to a request of an earlier search are ignored", () => {
    const rig = only("upnp");
    rig.mapper.refresh(NETWORK, rig.now);
    rig.pass(252);
    rig.mapper.refresh(NETWORK, rig.now);
    for (let id = 0; id < 20; id++) rig.mapper.handleHttp(id, soapAnswer("AddPortMapping", {}), rig.now);
    expect(rig.external).toBe("none");
    rig.pass(3_000);
    expect(rig.external).toBe(`${WAN}:41641`);
  });

  it("of any content neither map anything private nor keep it from becoming idle", () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 70 });
    fc.assert(
      fc.property(fc.constantFrom(...PROTOCOLS), fc.array(bytes, { minLength: 1, maxLength: 8 }), (protocol, noise) => {
        const rig = only(protocol);
        let at = 0;
        rig.gateway.tamper = (answer) => {
          for (const [i, byte] of noise[at++ % noise.length]!.entries())
            if (byte > 200) answer[i % answer.length] = byte;
          return answer;
        };
        rig.refresh();
        for (const datagram of noise) rig.mapper.handlePortControl(GATEWAY, datagram, rig.now);
        const { external } = rig.mapper;
        if (external !== undefined) expect(isPublicIpv4(external.address)).toBe(true);
        rig.mapper.release(rig.now);
        rig.pass(600);
        expect(rig.mapper.isIdle).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
