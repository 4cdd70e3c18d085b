import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { withSessionId } from "coder-protocol/session-id";
import { EngineError } from "wg-userspace/base/errors";
import { toEngineError } from "wg-userspace/io/host/node-errors";
import { Backoff, sleep } from "../base/backoff.ts";
import { ClientError } from "../base/client-error.ts";
import { Dialer } from "../dial/dialer.ts";
import { foreignAnswer, isDeployments } from "./answerer.ts";
import { failureOf } from "./api-failure.ts";

/** REST answers are small; a bigger one is not ours. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

export interface DeploymentOptions {
  /** The access URL, e.g. `https://coder.example.com`. */
  readonly url: URL;
  /** User session token, or an agent's token. Absent before login. */
  readonly token?: string;
  readonly dialer?: Dialer;
  /** Headers added to every request, WebSocket and relay dial. Asked each time, so that short-lived ones stay fresh. */
  readonly extraHeaders?: () => Promise<Readonly<Record<string, string>>>;
  /** Names what this process does in the logs of server, relay and agent (coder-protocol/session-id). Any text. */
  readonly sessionId?: string;
  /** Called once when the server's major.minor differs from `clientVersion`. */
  readonly onVersionMismatch?: (serverVersion: string) => void;
  readonly clientVersion?: string;
  /**
   * For how long a GET is asked again that a load balancer, a maintenance page or a captive portal answered; absent: not at
   * all. `onWait` is told once who it was.
   */
  readonly patience?: { readonly limitMs: number; readonly onWait: (error: ClientError) => void };
}

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** False for requests made before login. */
  readonly authenticated?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON, or the text when it is not JSON, or undefined when empty. */
  readonly body: unknown;
}

/** One deployment as seen by one identity: REST calls with its headers, proxy and certificates. */
export class Deployment {
  readonly url: URL;
  readonly token: string | undefined;
  readonly dialer: Dialer;
  readonly sessionId: string | undefined;
  readonly #extraHeaders: () => Promise<Readonly<Record<string, string>>>;
  readonly #onVersionMismatch: ((serverVersion: string) => void) | undefined;
  readonly #clientVersion: string | undefined;
  readonly #patience: DeploymentOptions["patience"];
  #warned: string | undefined;
  #versionChecked = false;

  constructor(options: DeploymentOptions) {
    this.url = options.url;
    this.token = options.token;
    this.dialer = options.dialer ?? new Dialer();
    this.sessionId = options.sessionId;
    this.#extraHeaders = withBaggage(options.extraHeaders ?? (async () => ({})), options.sessionId);
    this.#onVersionMismatch = options.onVersionMismatch;
    this.#clientVersion = options.clientVersion;
    this.#patience = options.patience;
  }

  /** The URL of a path below the access URL, with query. */
  resolve(path: string, query: RequestOptions["query"] = {}): URL {
    const base = this.url.pathname.endsWith("/") ? this.url.pathname.slice(0, -1) : this.url.pathname;
    const url = new URL(base + path, this.url);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    return url;
  }

  /** Headers for any request to the deployment. The token goes to the deployment's own origin only. */
  async headers(): Promise<Record<string, string>> {
    const headers: Record<string, string> = { ...(await this.#extraHeaders()) };
    if (this.token !== undefined) headers["Coder-Session-Token"] = this.token;
    return headers;
  }

  /** Extra headers without the token: relays ask for no authentication. */
  async extraHeaders(): Promise<Readonly<Record<string, string>>> {
    return this.#extraHeaders();
  }

  /** Sends a request and returns the body of a 2xx answer. Rejects with ClientError or EngineError. */
  async call(path: string, options: RequestOptions = {}): Promise<unknown> {
    const answer = await this.send(path, options);
    const ok = answer.status >= 200 && answer.status < 300;
    if (!ok) throw failureOf(answer, `${options.method ?? "GET"} ${path}`, this.url.host);
    const foreign = foreignAnswer(answer, this.url.host);
    if (foreign !== undefined) throw foreign;
    return answer.body;
  }

  /**
   * Sends a request and returns whatever status comes. Redirects are not followed. A question that something else than the
   * deployment answered is asked again for as long as {@link DeploymentOptions.patience} says.
   */
  async send(path: string, options: RequestOptions = {}): Promise<Answer> {
    const until = performance.now() + (this.#patience?.limitMs ?? 0);
    const backoff = new Backoff({ firstMs: 300, limitMs: 3_000 });
    for (;;) {
      const answer = await this.#sendOnce(path, options);
      const foreign = (options.method ?? "GET") === "GET" ? foreignAnswer(answer, this.url.host) : undefined;
      if (foreign === undefined) return answer;
      const waitMs = Math.max(backoff.next(), foreign.retryAfterMs ?? 0);
      if (performance.now() + waitMs > until) return answer;
      this.warn(foreign);
      await sleep(waitMs, options.signal ?? new AbortController().signal);
    }
  }

  /** Says once, through {@link DeploymentOptions.patience}, who answers in the deployment's place and is waited for. */
  warn(error: ClientError): void {
    if (this.#warned === error.message) return;
    this.#warned = error.message;
    this.#patience?.onWait(error);
  }

  async #sendOnce(path: string, options: RequestOptions): Promise<Answer> {
    const url = this.resolve(path, options.query);
    const headers = options.authenticated === false ? { ...(await this.#extraHeaders()) } : await this.headers();
    headers["Accept"] = "application/json";
    const body = options.body === undefined ? undefined : Buffer.from(JSON.stringify(options.body));
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      headers["Content-Length"] = String(body.length);
    }
    const deadline = AbortSignal.timeout(options.timeoutMs ?? REQUEST_TIMEOUT_MS);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    let answer: Answer;
    try {
      answer = await exchange(this.dialer, url, options.method ?? "GET", headers, body, signal);
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (deadline.aborted) {
        throw new EngineError("ERR_TIMEOUT", `${url.origin} did not answer ${path} in time`, {
          retryable: true,
          cause: error,
        });
      }
      throw toEngineError(error, `cannot reach ${url.origin}`);
    }
    this.#checkVersion(answer.headers["x-coder-build-version"]);
    return answer;
  }

  /**
   * Opens a request whose answer has no end, such as an event stream. The answer is the caller's to read and destroy; only
   * its beginning has a time limit. Rejects with ClientError or EngineError.
   */
  async stream(
    path: string,
    options: Pick<RequestOptions, "query" | "signal"> & { accept: string },
  ): Promise<IncomingMessage> {
    const url = this.resolve(path, options.query);
    const headers = { ...(await this.headers()), Accept: options.accept };
    try {
      const response = await beginning(this.dialer, url, headers, options.signal);
      const { statusCode: status = 0, headers: answered } = response;
      if (status === 200 && isWanted(answered, options.accept)) return response;
      const body = parseBody(await textOf(response));
      throw failureOf({ status, headers: answered, body }, `GET ${path}`, url.host);
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (error instanceof ClientError) throw error;
      throw toEngineError(error, `cannot reach ${url.origin}`);
    }
  }

  #checkVersion(header: string | string[] | undefined): void {
    if (this.#versionChecked || typeof header !== "string" || this.#clientVersion === undefined) return;
    this.#versionChecked = true;
    if (majorMinor(header) !== majorMinor(this.#clientVersion)) this.#onVersionMismatch?.(header);
  }
}

/** A page with status 200 in place of what was asked for comes from somebody else. */
function isWanted(headers: IncomingHttpHeaders, accept: string): boolean {
  const ofDeployment = isDeployments({ status: 0, headers, body: undefined });
  return ofDeployment || (headers["content-type"] ?? "").startsWith(accept);
}

function majorMinor(version: string): string {
  return /^v?([0-9]+\.[0-9]+)/.exec(version)?.[1] ?? version;
}

function exchange(
  dialer: Dialer,
  url: URL,
  method: string,
  headers: Record<string, string>,
  body: Buffer | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, { method, headers, agent: dialer.agentFor(url), signal }, (response) => {
      textOf(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parseBody(text) }),
        reject,
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** Sends a GET and resolves with the answer once its header is there. */
function beginning(
  dialer: Dialer,
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      { headers, agent: dialer.agentFor(url), ...(signal === undefined ? {} : { signal }) },
      (response) => {
        clearTimeout(late);
        resolve(response);
      },
    );
    const late = setTimeout(() => request.destroy(new Error("no answer in time")), REQUEST_TIMEOUT_MS);
    request.on("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    request.end();
  });
}

/** The whole body, at most {@link MAX_ANSWER_BYTES}. */
function textOf(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) response.destroy(new Error(`the answer is over ${MAX_ANSWER_BYTES} bytes`));
      else chunks.push(chunk);
    });
    response.on("error", reject);
    response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
  });
}

function parseBody(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // not JSON: an error page of something in between
  }
}

type HeaderSource = NonNullable<DeploymentOptions["extraHeaders"]>;

function withBaggage(source: HeaderSource, sessionId: string | undefined): HeaderSource {
  if (sessionId === undefined) return source;
  return async () => {
    const { baggage, ...headers } = await source();
    return { ...headers, baggage: withSessionId(baggage, sessionId) };
  };
}
