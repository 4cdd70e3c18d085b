/**
 * The agent's HTTP API inside the tunnel (port 4), for a client's queries about the workspace. Served only on streams of the
 * tunnel; nothing listens on a host interface.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import { CHALLENGE_BYTES, IDENTITY_PATH, type IdentityAnswer } from "coder-protocol/agent-identity";
import { SAFE_INTERFACE_MTU } from "coder-protocol/interface-mtu";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { formatAddrPort } from "wg-userspace/base/ip";
import type { Logger } from "wg-userspace/base/ports";
import type { NetReport } from "wg-userspace/netcheck/report";
import { netReportToJson } from "wg-userspace/netcheck/report-json";
import { type ListeningPort, listeningPorts } from "../host/listening-ports.ts";
import { PortKinds } from "../host/port-kinds.ts";
import { type FileTurn, type ThreadShares, threadShares } from "../host/thread-shares.ts";
import { homeDirectory } from "../host/user.ts";
import { FileRoutes } from "./files/file-routes.ts";
import { listDirectory } from "./list-directory.ts";
import { PeerShares } from "./peer-shares.ts";
import type { TerminalService } from "./terminal/terminal-service.ts";

const IO_LIMIT_MS = 20_000;
/**
 * Limit for every exchange: the longest answer, 10 MiB of log, takes this long at 2 Mbit/s. For a file it is the longest time
 * without progress.
 */
const CONNECTION_LIMIT_MS = 60_000;
/** What this agent can do beyond stock agents, with the revision of each feature. */
const CAPABILITIES = { terminal_framing: 1, terminals: 1, files: 1 };
const TERMINALS = "/api/v0/terminals";
const JSON_TYPE = "application/json; charset=utf-8";
const CHALLENGE = new RegExp(`^[0-9a-f]{${2 * CHALLENGE_BYTES}}$`);
const CONNECTIONS = { total: 128, perPeer: 16 };
const PORTS_FRESH_MS = 1_000;
const MAX_BODY_BYTES = 64 * 1024;

export interface HttpApiOptions {
  /** Makes a fresh check of the workspace's network. */
  readonly netcheck: (signal: AbortSignal) => Promise<NetReport>;
  /** The paths to the peer with this tunnel address; null when there is no such peer. */
  readonly peerView: (peer: string) => unknown;
  readonly logger: Logger;
  readonly debug?: DebugSources;
  readonly terminals: Pick<TerminalService, "list" | "end" | "rename" | "directoryOf">;
  /** Absent if this agent has no lasting identity. */
  readonly identity?: ProvenIdentity | undefined;
  /** Maximum lifetime of a connection. */
  readonly connectionLimitMs?: number;
  /** Default: those of this process. */
  readonly threads?: Pick<ThreadShares, "onPaths">;
}

export interface ProvenIdentity {
  readonly publicKey: Uint8Array;
  /** Of this end of the tunnel. */
  readonly nodeKey: Uint8Array;
  /** @returns the signature of the challenge and the node key. */
  prove(challenge: Uint8Array): Uint8Array;
}

/** What `/debug/…` shows; without secrets. */
export interface DebugSources {
  /** Recent log lines, 10 MiB at most. */
  readonly logs: () => string;
  readonly magicsock: () => unknown;
  readonly manifest: () => unknown;
  /** Prometheus text format. */
  readonly prometheus: () => string;
}

export class HttpApi {
  readonly #options: HttpApiOptions;
  readonly #server: Server;
  readonly #shares = new PeerShares(CONNECTIONS);
  /** The peer of each open connection. */
  readonly #peers = new WeakMap<object, string>();
  /** The timer that ends each open connection. */
  readonly #timers = new WeakMap<object, NodeJS.Timeout>();
  readonly #files: FileRoutes;
  readonly #kinds = new PortKinds();
  #ports: { readonly at: number; readonly looking: Promise<readonly ListeningPort[]> } | undefined;

  constructor(options: HttpApiOptions) {
    this.#options = options;
    const { terminals } = options;
    this.#files = new FileRoutes({ home: () => homeDirectory(), directoryOf: (id) => terminals.directoryOf(id) });
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answer(request, response).catch((error: unknown) => {
        options.logger.log("warn", "request inside the tunnel failed", { path: request.url, error: String(error) });
        if (!response.headersSent) reply(response, 500, { message: "Internal error.", detail: String(error) });
        else response.destroy();
      });
    };
    this.#server = createServer(answer);
    // The client waits for the decision on its file (RFC 9110 §10.1.1).
    this.#server.on("checkContinue", answer);
  }

  get openConnections(): number {
    return this.#shares.open;
  }

  /** Serves one connection of the tunnel; owns the stream. The connection counts towards the share of `peer`. */
  handleConnection(stream: Duplex, peer: string): void {
    if (!this.#shares.admit(stream, peer)) return;
    this.#peers.set(stream, peer);
    stream.on("error", () => undefined); // the client went away
    // Node's own time limits work only in a server that listens, which this one does not: a client that vanished without a FIN
    // would never end its streams.
    const limit = setTimeout(() => stream.destroy(), this.#options.connectionLimitMs ?? CONNECTION_LIMIT_MS);
    limit.unref();
    this.#timers.set(stream, limit);
    stream.once("close", () => clearTimeout(limit));
    this.#server.emit("connection", stream);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
    if (request.method === "POST" && path === "/api/v0/list-directory") return this.#listDirectory(request, response);
    if (path === "/api/v0/files") return this.#file(request, response, new URLSearchParams(query));
    if (path.startsWith(`${TERMINALS}/`)) return this.#terminal(request, response, path.slice(TERMINALS.length + 1));
    if (request.method !== "GET") return reply(response, 405, { message: "Only GET is supported here." });
    if (path === "/") return reply(response, 200, { message: "Hello from the agent!" });
    if (path === "/api/v0/capabilities") return reply(response, 200, this.#capabilities());
    if (path === IDENTITY_PATH) return this.#identity(response, new URLSearchParams(query).get("challenge") ?? "");
    if (path === TERMINALS) return reply(response, 200, { terminals: this.#options.terminals.list() });
    if (path === "/api/v0/listening-ports")
      return reply(response, 200, { ports: await this.#portsView(new URLSearchParams(query).getAll("probe")) });
    if (path === "/api/v0/netcheck")
      return reply(response, 200, await this.#netcheck(this.#peers.get(request.socket) ?? ""));
    const { debug } = this.#options;
    if (debug !== undefined) {
      if (path === "/debug/logs") return replyText(response, 200, debug.logs());
      if (path === "/debug/prometheus") return replyText(response, 200, debug.prometheus());
      if (path === "/debug/magicsock") return reply(response, 200, debug.magicsock());
      if (path === "/debug/manifest") return reply(response, 200, debug.manifest());
    }
    reply(response, 404, { message: "Route not found." });
  }

  #capabilities(): object {
    return this.#options.identity === undefined ? CAPABILITIES : { ...CAPABILITIES, identity: 1 };
  }

  #identity(response: ServerResponse, text: string): void {
    const { identity } = this.#options;
    if (identity === undefined) reply(response, 404, { message: "This agent has no lasting identity." });
    else if (!CHALLENGE.test(text))
      reply(response, 400, { message: `challenge is not ${CHALLENGE_BYTES} bytes in hexadecimal` });
    else {
      const answer: IdentityAnswer = {
        public_key: hexEncode(identity.publicKey),
        node_key: hexEncode(identity.nodeKey),
        signature: hexEncode(identity.prove(hexDecode(text))),
      };
      reply(response, 200, answer);
    }
  }

  async #listDirectory(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request, response);
    if (body === undefined) return;
    const answer = await listDirectory(body.value, homeDirectory(), this.#turnOf(request, response));
    reply(response, answer.status, answer.body);
  }

  async #file(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): Promise<void> {
    const goOn = (): void => void this.#timers.get(request.socket)?.refresh();
    const turn = this.#turnOf(request, response);
    if (request.method !== "PUT" && request.method !== "GET")
      return reply(response, 405, { message: "Files are put and got." });
    const answer =
      request.method === "PUT"
        ? await this.#files.upload(request, response, query, goOn, turn)
        : await this.#files.download(response, query, goOn, turn);
    if (answer === undefined) return;
    // The client closes: closing here would reset the connection before the client has read the answer.
    request.resume();
    response.writeHead(answer.status, { "Content-Type": JSON_TYPE });
    response.end(JSON.stringify(answer.body));
  }

  /** File operations take the client's turn; those that have not begun when it leaves are not begun. */
  #turnOf(request: IncomingMessage, response: ServerResponse): FileTurn {
    const { threads = threadShares() } = this.#options;
    const client = this.#peers.get(request.socket) ?? "";
    const left = new AbortController();
    response.once("close", () => left.abort(new Error("the client has left")));
    return (paths, operation, always = false) =>
      threads.onPaths(client, paths, operation, always ? undefined : left.signal);
  }

  async #terminal(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const { terminals } = this.#options;
    const missing = (): void => reply(response, 404, { message: "There is no such terminal." });
    if (request.method === "DELETE") return terminals.end(id) ? reply(response, 200, {}) : missing();
    if (request.method !== "PATCH") return reply(response, 405, { message: "Terminals are renamed and ended." });
    const body = await readJson(request, response);
    if (body === undefined) return;
    const title = (body.value as { title?: unknown } | null)?.title;
    if (typeof title !== "string") return reply(response, 400, { message: "title is not a string" });
    return terminals.rename(id, title) ? reply(response, 200, {}) : missing();
  }

  /** @param probed Ports whose rows name the program's protocol, if it is known. */
  async #portsView(probed: readonly string[]): Promise<readonly unknown[]> {
    const listening = await this.#listeningPorts();
    const kinds = await this.#kinds.of(listening, new Set(probed.map(Number)));
    return listening.map(({ process_name, network, port }) => ({ process_name, network, port, kind: kinds.get(port) }));
  }

  /** Concurrent queries share one scan. */
  #listeningPorts(): Promise<readonly ListeningPort[]> {
    const now = performance.now();
    if (this.#ports === undefined || now - this.#ports.at > PORTS_FRESH_MS) {
      const looking = listeningPorts();
      looking.catch(() => {
        this.#ports = undefined; // every waiting request shares this promise's result
      });
      this.#ports = { at: now, looking };
    }
    return this.#ports.looking;
  }

  async #netcheck(peer: string): Promise<unknown> {
    const interfaces = interfacesReport();
    try {
      const report = await this.#options.netcheck(AbortSignal.timeout(IO_LIMIT_MS / 2));
      return {
        severity: "ok",
        warnings: [],
        dismissed: false,
        net_info: netInfo(report),
        interfaces,
        // More than stock agents return: the whole report, what each STUN server saw, and the paths to the requesting peer.
        peer: this.#options.peerView(peer),
        report: netReportToJson(report),
        observations: report.observations.map(({ node, server, mapped, rttMs }) => ({
          node,
          server: formatAddrPort(server),
          mapped: formatAddrPort(mapped),
          rtt_ms: rttMs,
        })),
      };
    } catch (error) {
      return { error: String(error), severity: "error", warnings: [], dismissed: false, net_info: null, interfaces };
    }
  }
}

/** The part of a report that nodes publish about themselves, with the field names of Go's tailcfg.NetInfo. */
function netInfo(report: NetReport): Record<string, unknown> {
  return {
    MappingVariesByDestIP: report.mappingVariesByDestIp ?? null,
    HairPinning: report.hairPinning ?? null,
    WorkingIPv6: report.ipv6,
    OSHasIPv6: report.osHasIpv6,
    WorkingUDP: report.udp,
    WorkingICMPv4: report.icmpv4,
    UPnP: report.upnp ?? null,
    PMP: report.pmp ?? null,
    PCP: report.pcp ?? null,
    PreferredDERP: report.preferredDerp,
    DERPLatency: Object.fromEntries([...report.regionLatencyMs].map(([region, ms]) => [`${region}-v4`, ms / 1000])),
  };
}

function interfacesReport(): unknown {
  const interfaces = Object.entries(networkInterfaces())
    .filter(([, addresses]) => addresses?.some(({ internal }) => !internal))
    .map(([name, addresses]) => ({
      name,
      mtu: mtuOf(name),
      addresses: (addresses ?? []).map(({ cidr, address }) => cidr ?? address),
    }));
  const low = interfaces.filter(({ mtu }) => mtu > 0 && mtu < SAFE_INTERFACE_MTU);
  return {
    severity: low.length > 0 ? "warning" : "ok",
    warnings: low.map(({ name, mtu }) => ({
      code: "EIF01",
      message: `network interface ${name} has MTU ${mtu} (less than ${SAFE_INTERFACE_MTU}), which may degrade the quality of direct connections`,
    })),
    dismissed: false,
    interfaces,
  };
}

function mtuOf(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/mtu`, "utf8")) || 0;
  } catch {
    return 0; // not Linux: Node cannot tell the MTU
  }
}

/** The parsed body; undefined when it was refused and the refusal answered. */
async function readJson(request: IncomingMessage, response: ServerResponse): Promise<{ value: unknown } | undefined> {
  const text = await readBody(request);
  if (text === undefined) {
    reply(response, 413, { message: `The body is longer than ${MAX_BODY_BYTES} bytes.` });
    return undefined;
  }
  try {
    return { value: JSON.parse(text) };
  } catch {
    reply(response, 400, { message: "The body is not JSON." });
    return undefined;
  }
}

/** Undefined when it is too long. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, JSON_TYPE, JSON.stringify(body));
}

function replyText(response: ServerResponse, status: number, text: string): void {
  send(response, status, "text/plain; charset=utf-8", text);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    Connection: "close",
  });
  response.end(text);
}
