import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { addMs, instant } from "../../src/base/instant.ts";
import { formatAddrPort, formatIp, ip } from "../../src/base/ip.ts";
import { parseBsdRoute, parseProcNetRoute, parseWindowsRoutes } from "../../src/io/host/default-gateway.ts";
import { isPublicIpv4 } from "../../src/portmap/external-address.ts";
import { parseHttpUrl } from "../../src/portmap/http-url.ts";
import { findIgdServices, MAX_SERVICES, parseSoapAnswer } from "../../src/portmap/igd.ts";
import { Mapper } from "../../src/portmap/mapper.ts";
import { parsePmpResponse } from "../../src/portmap/nat-pmp.ts";
import { encodePcpMapRequest, parsePcpResponse } from "../../src/portmap/pcp.ts";
import { parseSearchAnswer } from "../../src/portmap/ssdp.ts";
import { parseXml } from "../../src/portmap/xml.ts";
import type { FuzzTarget, FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import { LinkRandom } from "../../src/testing/link.ts";
import { descriptionXml, searchAnswer, soapAnswer, soapFault } from "../../src/testing/upnp-answers.ts";

const GATEWAY = ip("192.168.1.1");
const SELF = ip("192.168.1.7");
const PORT = 41_641;
const LOCATION_TEXT = "http://192.168.1.1:5000/root.xml";
const LOCATION = parseHttpUrl(LOCATION_TEXT)!;
/** One input can end one step and begin the next, but not run a whole conversation. */
const MAX_SENT = 32;
const TICK_MS = 40;

const text = (input: Uint8Array): string => String.fromCharCode(...input);
const pmpAddress = Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 9, 198, 51, 100, 1);
const pmpMapping = Uint8Array.of(0, 129, 0, 0, 0, 0, 0, 9, PORT >> 8, PORT & 255, PORT >> 8, PORT & 255, 0, 0, 28, 32);
const XML = [
  descriptionXml([
    ["WANIPConnection:1", "/ctl"],
    ["WANPPPConnection:1", "ppp"],
  ]),
  soapAnswer("GetExternalIPAddress", { NewExternalIPAddress: "198.51.100.1" }),
  soapAnswer("AddPortMapping", {}),
  soapFault(718),
  soapFault(725),
];

function pcpAnswer(nonce: Uint8Array): Uint8Array {
  const answer = encodePcpMapRequest(SELF, { nonce, internalPort: PORT, externalPort: PORT, lifetimeS: 7200 });
  answer[1] = 0x81;
  answer.set([198, 51, 100, 1], 56);
  return answer;
}

/** Every parser of a gateway's messages. */
export const portmapParsers: FuzzTargetFactory = {
  name: "portmap-parsers",
  create: () => ({
    corpus: () => [
      pmpAddress,
      pmpMapping,
      pcpAnswer(new Uint8Array(12)),
      utf8(searchAnswer(LOCATION_TEXT)),
      ...XML.map(utf8),
    ],
    feed(input) {
      const pmp = parsePmpResponse(input);
      if (pmp?.kind === "address") formatIp(pmp.address);
      const pcp = parsePcpResponse(input);
      if (pcp?.kind === "mapping") formatIp(pcp.external);
      const location = parseSearchAnswer(input);
      if (location !== undefined) formatAddrPort(location.at);
      const words = text(input);
      parseXml(words);
      if (findIgdServices(words, LOCATION).some(({ control }) => formatIp(control.at.address) !== "192.168.1.1"))
        throw new Error("a service on another host");
      if (findIgdServices(words, LOCATION).length > MAX_SERVICES) throw new Error("more services than allowed");
      parseSoapAnswer(words, "AddPortMapping");
      parseSoapAnswer(words, "GetExternalIPAddress");
    },
  }),
};

/** The systems' route listings. */
export const routeTables: FuzzTargetFactory = {
  name: "route-tables",
  create: () => ({
    corpus: () =>
      [
        "Iface\tDestination\nwlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n",
        "    gateway: 192.168.178.1\n  interface: en0\n",
        "0.0.0.0 0.0.0.0 192.168.1.1 192.168.1.20 25\r\n",
      ].map(utf8),
    feed(input) {
      for (const parse of [parseProcNetRoute, parseBsdRoute, parseWindowsRoutes]) {
        const route = parse(text(input));
        if (route !== undefined && formatIp(route.gateway).split(".").length !== 4) throw new Error("no IPv4 gateway");
      }
    },
  }),
};

/** A gateway sends anything at any time, over every protocol. */
export const portmapGateway: FuzzTargetFactory = { name: "portmap-gateway", create: () => new FuzzedMapper() };

class FuzzedMapper implements FuzzTarget {
  readonly #mapper: Mapper;
  #now = instant(0);
  #requestId = 0;
  #nonce: Uint8Array = new Uint8Array(12);
  #sent = 0;

  constructor() {
    this.#mapper = new Mapper(new LinkRandom(9), {
      sendPortControl: (_gateway, packet) => {
        this.#sent++;
        if (packet.length === 60) this.#nonce = packet.slice(24, 36);
      },
      sendSearch: () => this.#sent++,
      request: (id) => {
        this.#sent++;
        this.#requestId = id ?? this.#requestId;
      },
      changed: () => undefined,
      renewalDue: () => this.#refresh(PORT),
      idle: () => undefined,
    });
  }

  /** The first byte of an input selects its kind. */
  corpus(): readonly Uint8Array[] {
    const control = [pmpAddress, pmpMapping, pcpAnswer(this.#nonce), pcpAnswer(this.#nonce).subarray(0, 24)];
    return [
      ...control.map((packet) => concatBytes(Uint8Array.of(0), packet)),
      concatBytes(Uint8Array.of(1), utf8(searchAnswer(LOCATION_TEXT))),
      ...XML.map((body) => concatBytes(Uint8Array.of(2), utf8(body))),
      Uint8Array.of(3, 0),
      Uint8Array.of(3, 1),
      Uint8Array.of(4),
    ];
  }

  feed(input: Uint8Array): void {
    this.#sent = 0;
    const rest = input.subarray(1);
    switch ((input[0] ?? 0) % 8) {
      case 1:
        this.#mapper.handleSearchAnswer(GATEWAY, rest, this.#now);
        break;
      case 2:
        this.#mapper.handleHttp(this.#requestId, rest.length === 0 ? undefined : text(rest), this.#now);
        break;
      case 3:
        this.#refresh(PORT + ((rest[0] ?? 0) & 1));
        break;
      case 4:
        this.#mapper.release(this.#now);
        break;
      default:
        this.#mapper.handlePortControl(GATEWAY, rest, this.#now);
    }
    this.#now = addMs(this.#now, TICK_MS * (1 + ((rest[0] ?? 0) & 3)));
    this.#mapper.handleTimeout(this.#now);
    const next = this.#mapper.nextTimeout();
    if (next !== undefined && next <= this.#now) throw new Error("a deadline stays due");
    if (next === undefined && !this.#mapper.isIdle) throw new Error("waits without a deadline");
    const { external } = this.#mapper;
    if (external !== undefined && !isPublicIpv4(external.address)) throw new Error("mapped on a private address");
    if (external?.port === 0) throw new Error("mapped port 0");
  }

  bounds() {
    return [{ what: "datagrams and requests of one input", size: this.#sent, limit: MAX_SENT }];
  }

  #refresh(localPort: number): void {
    if (!this.#mapper.isIdle) return;
    this.#mapper.refresh({ gateway: GATEWAY, self: SELF, localPort }, this.#now);
  }
}
