/**
 * The only way in which this process connects to the network: every REST call, control WebSocket and relay connection is dialled
 * here, so settings for proxies, private authorities and client certificates apply to all.
 */
import { type AgentOptions, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import { getProxyForUrl } from "proxy-from-env";
import { abortable, deadline, once } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import { connectHost } from "wg-userspace/io/host/connect-host";
import { isBelowLocalhost } from "wg-userspace/io/host/local-names";
import { neededLookup } from "wg-userspace/io/host/needed-lookup";
import { toEngineError } from "wg-userspace/io/host/node-errors";
import { optionalLookup } from "wg-userspace/io/host/optional-names";
import type { RelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { tlsRefusal, verifiedAfterwards } from "wg-userspace/io/relay/tls-refusal";
import { proxyRefusal } from "./proxy-refusal.ts";
import { namesAuthorities, type TrustedAuthorities, trustedAuthorities } from "./trusted-authorities.ts";

export interface TlsSettings {
  /** PEM certificates that are trusted besides Node's, the system's and those of SSL_CERT_FILE and SSL_CERT_DIR. */
  readonly ca?: string | undefined;
  /** PEM client certificate and key for mutual TLS. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface DialerOptions {
  readonly tls?: TlsSettings | undefined;
  /** Finds the proxy for a URL; by default from the usual variables of `process.env`. */
  readonly proxyFor?: (url: string) => string;
  /** Where SSL_CERT_FILE and SSL_CERT_DIR come from; `process.env` by default. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Time limit for establishing one connection, proxy and TLS included, in ms. */
  readonly connectTimeoutMs?: number;
}

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Name sent to the server, and by default expected in its certificate; the host if absent. */
  readonly serverName?: string;
  /** Name to expect in the certificate instead of serverName. */
  readonly certName?: string | undefined;
  readonly insecure?: boolean | undefined;
  /** Nothing waits for this connection, so its name lookup yields to more urgent ones. */
  readonly optional?: boolean;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Largest response of a proxy to CONNECT: status line and headers. */
const MAX_PROXY_ANSWER_BYTES = 16 * 1024;
const HEADER_END = "\r\n\r\n";
const MAX_REACHED = 64;

export class Dialer implements RelayDialer {
  readonly #tls: TlsSettings;
  readonly #proxyFor: (url: string) => string;
  readonly #timeoutMs: number;
  readonly #environment: NodeJS.ProcessEnv;
  /** All trusted authorities. Read only when Node's own do not suffice, since that takes time. */
  #authorities: TrustedAuthorities | undefined;
  #secureContext: SecureContext | undefined;
  /** Addresses by host, for the last {@link MAX_REACHED} hosts. */
  readonly #reached = new Map<string, string>();
  /** Keep-alive agents for requests, made on first use: without TLS neither node:https nor node:tls is loaded. */
  #httpAgent: HttpAgent | undefined;
  #httpsAgent: HttpsAgent | undefined;

  constructor(options: DialerOptions = {}) {
    this.#tls = options.tls ?? {};
    this.#proxyFor = options.proxyFor ?? getProxyForUrl;
    this.#timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#environment = options.environment ?? process.env;
  }

  /** The agent for requests to this URL. */
  agentFor(url: URL): HttpAgent {
    if (url.protocol === "https:" || url.protocol === "wss:") {
      this.#httpsAgent ??= dialingAgent(HttpsAgent, this, true);
      return this.#httpsAgent;
    }
    this.#httpAgent ??= dialingAgent(HttpAgent, this, false);
    return this.#httpAgent;
  }

  /** Opens a TCP or TLS connection, through the configured proxy if there is one. Rejects with an EngineError. */
  async connect(target: DialTarget, options: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    const signal = deadline(this.#timeoutMs, options.signal);
    const name = `${target.host}:${target.port}`;
    try {
      return await this.#connect(target, signal);
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (signal.aborted) {
        throw new EngineError("ERR_TIMEOUT", `no connection to ${name} within ${this.#timeoutMs / 1000} s`, {
          retryable: true,
          cause: error,
        });
      }
      throw toEngineError(error, `cannot connect to ${name}`);
    }
  }

  /** Closes idle keep-alive connections, so that the process can end. */
  close(): void {
    this.#httpAgent?.destroy();
    this.#httpsAgent?.destroy();
  }

  async #connect(target: DialTarget, signal: AbortSignal): Promise<Duplex> {
    try {
      return await this.#connectOnce(target, signal);
    } catch (error) {
      if (this.#authorities !== undefined || !isUntrusted(error)) throw error;
      this.#trustAll();
      return this.#connectOnce(target, signal);
    }
  }

  async #connectOnce(target: DialTarget, signal: AbortSignal): Promise<Duplex> {
    const host = isIP(target.host) === 6 ? `[${target.host}]` : target.host;
    const proxy = isBelowLocalhost(host)
      ? ""
      : this.#proxyFor(`${target.tls ? "https" : "http"}://${host}:${target.port}`);
    const socket =
      proxy === "" ? await this.#dialDirectly(target, signal) : await this.#throughProxy(proxy, target, signal);
    return target.tls ? this.#secure(socket, target, signal) : socket;
  }

  async #dialDirectly({ host, port, optional }: DialTarget, signal: AbortSignal): Promise<Socket> {
    const socket = await openSocket(host, port, signal, optional);
    const { remoteAddress } = socket;
    if (isIP(host) === 0 && remoteAddress !== undefined) this.#remember(host, remoteAddress);
    return socket;
  }

  /** Addresses at which this host was recently reached without a proxy, for other code that has to reach it now. */
  addressesOf(host: string): readonly string[] {
    const address = this.#reached.get(host);
    return address === undefined ? [] : [address];
  }

  #remember(host: string, address: string): void {
    this.#reached.delete(host);
    this.#reached.set(host, address);
    if (this.#reached.size > MAX_REACHED) this.#reached.delete(this.#reached.keys().next().value!);
  }

  #trustAll(): void {
    this.#authorities = trustedAuthorities(this.#environment);
    this.#secureContext = undefined;
  }

  async #throughProxy(proxyUrl: string, target: DialTarget, signal: AbortSignal): Promise<Socket> {
    const proxy = parseProxy(proxyUrl);
    const port = proxy.port === "" ? (proxy.protocol === "https:" ? 443 : 80) : Number(proxy.port);
    const name = `${proxy.hostname}:${port}`;
    let socket: Socket;
    try {
      socket = await openSocket(proxy.hostname.replace(/^\[|\]$/g, ""), port, signal);
      if (proxy.protocol === "https:") {
        socket = await this.#secure(socket, { host: proxy.hostname, port, tls: true }, signal);
      }
    } catch (error) {
      throw toEngineError(error, `cannot reach proxy ${name}`);
    }
    const authority = `${isIP(target.host) === 6 ? `[${target.host}]` : target.host}:${target.port}`;
    const credentials =
      proxy.username === ""
        ? ""
        : `Proxy-Authorization: Basic ${Buffer.from(
            `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`,
          ).toString("base64")}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
    await readProxyAnswer(socket, name, authority, signal);
    return socket;
  }

  async #secure(socket: Socket, target: DialTarget, signal: AbortSignal): Promise<Socket> {
    const serverName = target.serverName ?? target.host;
    const options: ConnectionOptions = {
      socket,
      ALPNProtocols: ["http/1.1"],
      secureContext: this.#context(),
      ...verifiedAfterwards(target.certName || serverName),
    };
    if (isIP(serverName) === 0) options.servername = serverName;
    const secure = connectTls(options);
    await untilSecure(secure, signal);
    const refusal = target.insecure === true ? undefined : tlsRefusal(secure, `"${target.host}:${target.port}"`);
    if (refusal === undefined) return secure;
    destroyQuietly(secure);
    throw this.#explained(refusal);
  }

  #context(): SecureContext {
    const { ca, cert, key } = this.#tls;
    if (this.#authorities === undefined && (ca !== undefined || namesAuthorities(this.#environment))) this.#trustAll();
    const trusted = this.#authorities?.pem;
    this.#secureContext ??= createSecureContext({
      minVersion: "TLSv1.2",
      ca: trusted && [...trusted, ...(ca === undefined ? [] : [ca])],
      // Trusts a named authority even if it is itself signed by another one.
      allowPartialTrustChain: trusted !== undefined,
      cert,
      key,
    });
    return this.#secureContext;
  }

  /** If an authority was named in a file that cannot be read, that is the reason for the refusal. */
  #explained(refusal: EngineError): EngineError {
    const problems = this.#authorities?.problems ?? [];
    if (problems.length === 0 || !isUntrusted(refusal)) return refusal;
    return new EngineError(refusal.code, `${refusal.message}; ${problems.join("; ")}`, { cause: refusal.cause });
  }
}

function isUntrusted(error: unknown): boolean {
  return error instanceof EngineError && error.code === "ERR_TLS_UNTRUSTED";
}

/** An HTTP agent whose connections the dialer makes. */
function dialingAgent<A extends HttpAgent>(Agent: new (options: AgentOptions) => A, dialer: Dialer, tls: boolean): A {
  const agent = new Agent({ keepAlive: true });
  agent.createConnection = (options: AgentTarget, done?: ConnectionCallback) => {
    dialFor(dialer, options, tls, done!);
    return undefined;
  };
  return agent;
}

interface AgentTarget {
  readonly host?: string | null | undefined;
  readonly port?: string | number | null | undefined;
}
type ConnectionCallback = (error: Error | null, stream: Duplex) => void;

function dialFor(dialer: Dialer, options: AgentTarget, tls: boolean, done: ConnectionCallback): void {
  const host = (options.host ?? "localhost").replace(/^\[|\]$/g, "");
  dialer.connect({ host, port: Number(options.port ?? (tls ? 443 : 80)), tls }).then(
    (stream) => done(null, stream),
    (error: Error) => done(error, undefined as unknown as Duplex),
  );
}

function parseProxy(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new EngineError("ERR_INVALID_ARGUMENT", "the proxy variable is not an http:// or https:// URL");
  }
  return url;
}

async function openSocket(host: string, port: number, signal: AbortSignal, optional = false): Promise<Socket> {
  const lookup = optional ? optionalLookup(signal) : neededLookup(signal);
  return await connectHost({ host, port, lookup, signal });
}

/** Resolves when the handshake is done; destroys the socket and rejects on error, close or abort. */
async function untilSecure(socket: Socket, signal: AbortSignal): Promise<void> {
  try {
    await once(socket, "secureConnect", signal);
  } catch (error) {
    destroyQuietly(socket);
    throw error;
  }
}

/** Reads to the end of the proxy's header. What follows belongs to the connection and stays in the socket. */
async function readProxyAnswer(socket: Socket, proxy: string, authority: string, signal: AbortSignal): Promise<void> {
  try {
    const head = await proxyHead(socket, proxy, signal);
    if (!/^HTTP\/1\.[01] 2[0-9]{2}/.test(head)) throw proxyRefusal(head, proxy, authority);
  } catch (error) {
    destroyQuietly(socket);
    throw error;
  }
}

function proxyHead(socket: Socket, proxy: string, signal: AbortSignal): Promise<string> {
  let answer: Buffer = Buffer.alloc(0);
  return abortable<string>(signal, (resolve, reject) => {
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf(HEADER_END);
      if (end < 0) {
        if (answer.length > MAX_PROXY_ANSWER_BYTES) reject(new Error(`proxy ${proxy} sent an endless answer`));
        return;
      }
      socket.off("readable", onReadable);
      const rest = answer.subarray(end + HEADER_END.length);
      if (rest.length > 0) socket.unshift(rest);
      resolve(answer.toString("latin1", 0, end + HEADER_END.length));
    };
    const onEnd = (): void => reject(new Error(`proxy ${proxy} closed the connection`));
    socket.on("readable", onReadable);
    socket.on("error", reject);
    socket.on("end", onEnd);
    return () => {
      socket.off("readable", onReadable);
      socket.off("error", reject);
      socket.off("end", onEnd);
    };
  });
}

/** For a socket whose outcome is decided: later errors are ignored. */
function destroyQuietly(socket: Socket): void {
  socket.on("error", () => undefined);
  socket.destroy();
}
