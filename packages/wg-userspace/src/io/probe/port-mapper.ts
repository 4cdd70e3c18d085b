import { createSocket, type Socket } from "node:dgram";
import { request as httpRequest } from "node:http";
import { deadline, once } from "../../async/abort.ts";
import { type AddrPort, formatAddrPort, formatIp, type IpAddress, isIpv4, parseIp } from "../../base/ip.ts";
import { type Logger, silentLogger } from "../../base/ports.ts";
import type { HttpRequest } from "../../portmap/igd.ts";
import { Mapper, type ServicesSeen } from "../../portmap/mapper.ts";
import type { PortMapNetwork } from "../../portmap/mapping.ts";
import { PORT_CONTROL_PORT } from "../../portmap/nat-pmp.ts";
import { SSDP_GROUP, SSDP_PORT } from "../../portmap/ssdp.ts";
import { MAX_XML_CHARS } from "../../portmap/xml.ts";
import { monotonicNow } from "../host/clock.ts";
import { nodeRandom } from "../host/crypto-suite.ts";
import { findDefaultGateway } from "../host/default-gateway.ts";

/** Limit of one HTTP request, whatever the search around it does. */
const HTTP_MS = 2_000;
const MULTICAST_TTL = 2;

export interface PortMapperOptions {
  /** The UDP port that is to be reachable; undefined while there is none. */
  readonly localPort: () => number | undefined;
  /** Defaults to the system's default route. */
  readonly gateway?: () => Promise<{ readonly gateway: IpAddress; readonly self: IpAddress } | undefined>;
  readonly logger?: Logger;
  /** `external` changed or is gone. */
  readonly onChange: () => void;
  /** The ports on which a gateway listens, if not the standard ones: for tests. */
  readonly ports?: { readonly portControl: number; readonly ssdp: number };
}

/**
 * Has the router forward a UDP port to us, by NAT-PMP, PCP or UPnP, and keeps it that way until disposed. Does nothing
 * before the first refresh. Owns one UDP socket while something is under way, none otherwise.
 */
export class PortMapper implements AsyncDisposable {
  readonly #options: PortMapperOptions;
  readonly #logger: Logger;
  readonly #mapper: Mapper;
  #socket: Socket | undefined;
  #requests = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isWantedAgain = false;
  #idle = Promise.withResolvers<void>();
  /** The part of a refresh that owns the socket. */
  #turn: Promise<void> = Promise.resolve();
  #isDisposing = false;
  #disposed: Promise<void> | undefined;

  constructor(options: PortMapperOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#mapper = new Mapper(nodeRandom, {
      sendPortControl: (gateway, packet) => {
        this.#send({ address: gateway, port: options.ports?.portControl ?? PORT_CONTROL_PORT }, packet);
      },
      sendSearch: (gateway, packet) => {
        const port = options.ports?.ssdp ?? SSDP_PORT;
        this.#send({ address: gateway, port }, packet);
        this.#send({ address: SSDP_GROUP, port }, packet);
      },
      request: (id, request) => void this.#request(id, request),
      changed: () => {
        const { external, protocol } = this.#mapper;
        if (external !== undefined)
          this.#logger.log("debug", "port mapped", { external: formatAddrPort(external), protocol });
        else this.#logger.log("debug", "port mapping gone");
        if (!this.#isDisposing) options.onChange();
      },
      renewalDue: () => void this.refresh(),
      idle: () => this.#idle.resolve(),
    });
  }

  /** External address that forwards to our UDP port, while the lease holds; undefined when it would be private or CGNAT. */
  get external(): AddrPort | undefined {
    return this.#mapper.external;
  }

  /** Which services the router offers; undefined for those not searched for. */
  get seen(): ServicesSeen {
    return this.#mapper.seen(monotonicNow());
  }

  /**
   * Searches again now: at start, after a network change, with another local port. Resolves when the answer is known, within 3 s;
   * never rejects. A call during a search causes one more search after it.
   */
  refresh(): Promise<void> {
    if (this.#disposed !== undefined) return this.#disposed;
    if (this.#running !== undefined) this.#isWantedAgain = true;
    else this.#running = this.#refreshAll();
    return this.#running;
  }

  /** Deletes the mapping, for at most 500 ms. Safe to call twice. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #refreshAll(): Promise<void> {
    do {
      this.#isWantedAgain = false;
      const network = await this.#findNetwork();
      if (this.#isDisposing) break;
      await this.#run(network?.self, () => this.#mapper.refresh(network, monotonicNow()));
    } while (this.#isWantedAgain && !this.#isDisposing);
    this.#running = undefined;
  }

  async #findNetwork(): Promise<PortMapNetwork | undefined> {
    const localPort = this.#options.localPort();
    if (localPort === undefined) return undefined;
    try {
      const found = await (this.#options.gateway ?? findDefaultGateway)();
      return found !== undefined && isIpv4(found.gateway) && isIpv4(found.self) ? { ...found, localPort } : undefined;
    } catch (error) {
      this.#logger.log("debug", "no default gateway", { error: String(error) });
      return undefined;
    }
  }

  #run(self: IpAddress | undefined, start: () => void): Promise<void> {
    this.#turn = this.#runTurn(self, start);
    return this.#turn;
  }

  /** Opens the socket, starts something in the core, and waits until the core is idle again. */
  async #runTurn(self: IpAddress | undefined, start: () => void): Promise<void> {
    this.#idle = Promise.withResolvers<void>();
    if (self !== undefined) await this.#open(self);
    start();
    this.#rearm();
    await this.#idle.promise;
    this.#close();
    this.#rearm();
  }

  async #dispose(): Promise<void> {
    this.#isDisposing = true;
    this.#idle.resolve(); // a search that runs ends here, and a mapping that it requested is deleted with the rest
    await this.#turn;
    await this.#run(this.#mapper.network?.self, () => this.#mapper.release(monotonicNow()));
    clearTimeout(this.#timer);
  }

  async #open(self: IpAddress): Promise<void> {
    const socket = createSocket({ type: "udp4", lookup: (host, _options, done) => done(null, host, 4) });
    const host = formatIp(self);
    try {
      const bound = once(socket, "listening"); // the lookup answers synchronously, so bind() itself emits "listening"
      socket.bind(0, host);
      await bound;
      socket.setMulticastInterface(host);
      socket.setMulticastTTL(MULTICAST_TTL);
    } catch (error) {
      this.#logger.log("debug", "no socket for port mapping", { error: String(error) });
      socket.close();
      return; // the address is gone again: nothing is sent or answered
    }
    socket.on("error", (error) => this.#logger.log("debug", "port mapping socket", { error: error.message }));
    socket.on("message", (datagram, from) => {
      const address = parseIp(from.address);
      if (address === undefined) return;
      if (from.port === (this.#options.ports?.portControl ?? PORT_CONTROL_PORT))
        this.#mapper.handlePortControl(address, datagram, monotonicNow());
      else this.#mapper.handleSearchAnswer(address, datagram, monotonicNow());
      this.#rearm();
    });
    this.#socket = socket;
  }

  #close(): void {
    this.#requests.abort();
    this.#requests = new AbortController();
    this.#socket?.close();
    this.#socket = undefined;
  }

  #send(to: AddrPort, packet: Uint8Array): void {
    // The callback takes errors such as a port without a listener: they mean "not there".
    this.#socket?.send(packet, to.port, formatIp(to.address), () => undefined);
  }

  #rearm(): void {
    clearTimeout(this.#timer);
    const next = this.#mapper.nextTimeout();
    if (next === undefined) return;
    this.#timer = setTimeout(() => void this.#tick(), Math.max(1, next - monotonicNow()));
    if (this.#mapper.isIdle) this.#timer.unref(); // a renewal keeps no process alive
  }

  #tick(): void {
    this.#mapper.handleTimeout(monotonicNow());
    this.#rearm();
  }

  async #request(id: number | undefined, request: HttpRequest): Promise<void> {
    const signal = deadline(HTTP_MS, id === undefined ? undefined : this.#requests.signal);
    let body: string | undefined;
    try {
      body = await fetchText(request, signal);
    } catch (error) {
      if (!signal.aborted) this.#logger.log("debug", "gateway did not answer", { error: String(error) });
    }
    if (id === undefined) return;
    this.#mapper.handleHttp(id, body, monotonicNow());
    this.#rearm();
  }
}

/** The body of the answer, whatever its status: a SOAP fault comes with 500. Rejects beyond MAX_XML_CHARS bytes. */
function fetchText({ url, method, headers, body }: HttpRequest, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: formatIp(url.at.address),
        port: url.at.port,
        path: url.path,
        method,
        headers: { ...headers, "Content-Length": Buffer.byteLength(body), Connection: "close" },
        agent: false,
        signal,
      },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_XML_CHARS) request.destroy(new Error(`answer of more than ${MAX_XML_CHARS} bytes`));
          else chunks.push(chunk);
        });
        response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}
