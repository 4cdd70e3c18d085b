import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { REPLICA_HEADER } from "coder-protocol/replica-header";
import { withSessionId } from "coder-protocol/session-id";
import { deadline, sleep } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import { toEngineError } from "wg-userspace/io/host/node-errors";
import { Backoff } from "../base/backoff.ts";
import { ClientError } from "../base/client-error.ts";
import { Dialer } from "../dial/dialer.ts";
import { foreignAnswer, isDeployments } from "./answerer.ts";
import { parseBody, type RequestOptions, type RestApi, resolvePath } from "./api.ts";
import { failureOf } from "./api-failure.ts";

/** REST responses are small; a larger one is not the deployment's. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

export interface DeploymentOptions {
  /** The access URL, e.g. `https://coder.example.com`. */
  readonly url: URL;
  /** Session token of a user, or token of an agent. Absent before login. */
  readonly token?: string | undefined;
  readonly dialer?: Dialer | undefined;
  /** Headers added to every request, WebSocket and relay dial. Called each time, so that short-lived ones stay fresh. */
  readonly extraHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
  /** Further credentials, for the deployment's own origin only; relays do not get them. Called each time. */
  readonly ownHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
  /** Identifies this process's work in the logs of server, relay and agent (coder-protocol/session-id). Any text. */
  readonly sessionId?: string | undefined;
  /** Called once when the server's major.minor differs from `clientVersion`. */
  readonly onVersionMismatch?: ((serverVersion: string) => void) | undefined;
  readonly clientVersion?: string | undefined;
  /**
   * How long a GET is repeated that a load balancer, a maintenance page or a captive portal answered; absent for not at all.
   * `onWait` is called once with what answered.
   */
  readonly patience?: { readonly limitMs: number; readonly onWait: (error: ClientError) => void } | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON, or the text when it is not JSON, or undefined when empty. */
  readonly body: unknown;
}

const REPLICA = /^[0-9a-f]{8}$/;

/** One deployment as seen by one identity: REST calls with its headers, proxy and certificates. */
export class Deployment implements RestApi {
  readonly url: URL;
  readonly token: string | undefined;
  readonly dialer: Dialer;
  readonly sessionId: string | undefined;
  readonly #extraHeaders: () => Promise<Readonly<Record<string, string>>>;
  readonly #ownHeaders: () => Promise<Readonly<Record<string, string>>>;
  readonly #onVersionMismatch: ((serverVersion: string) => void) | undefined;
  readonly #clientVersion: string | undefined;
  readonly #patience: DeploymentOptions["patience"];
  #warned: string | undefined;
  #versionChecked = false;
  #answeredBy: string | undefined;

  constructor(options: DeploymentOptions) {
    this.url = options.url;
    this.token = options.token;
    this.dialer = options.dialer ?? new Dialer();
    this.sessionId = options.sessionId;
    this.#extraHeaders = withBaggage(options.extraHeaders ?? (async () => ({})), options.sessionId);
    this.#ownHeaders = options.ownHeaders ?? (async () => ({}));
    this.#onVersionMismatch = options.onVersionMismatch;
    this.#clientVersion = options.clientVersion;
    this.#patience = options.patience;
  }

  /**
   * Short id of the server that answered last, if there are several; undefined unless it names itself, which it does only to
   * owners.
   */
  get answeredBy(): string | undefined {
    return this.#answeredBy;
  }

  /** The URL of a path below the access URL, with query. */
  resolve(path: string, query?: RequestOptions["query"]): URL {
    return resolvePath(this.url, path, query);
  }

  /** Headers for any request to the deployment. Credentials go to the deployment's own origin only. */
  async headers(): Promise<Record<string, string>> {
    const headers: Record<string, string> = { ...(await this.#extraHeaders()), ...(await this.#ownHeaders()) };
    if (this.token !== undefined) headers["Coder-Session-Token"] = this.token;
    return headers;
  }

  /** Extra headers without the token, because relays require no authentication. */
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
   * Sends a request and returns the response, whatever its status. Does not follow redirects. A GET that something other than the
   * deployment answered is repeated for as long as {@link DeploymentOptions.patience} allows.
   */
  async send(path: string, options: RequestOptions = {}): Promise<Answer> {
    let until: number | undefined;
    const backoff = new Backoff({ firstMs: 300, limitMs: 3_000 });
    for (;;) {
      const answer = await this.#sendOnce(path, options);
      const foreign = (options.method ?? "GET") === "GET" ? foreignAnswer(answer, this.url.host) : undefined;
      if (foreign === undefined) return answer;
      const waitMs = Math.max(backoff.next(), foreign.retryAfterMs ?? 0);
      // Not before: a start of the command that is answered needs no clock.
      until ??= performance.now() + (this.#patience?.limitMs ?? 0);
      if (performance.now() + waitMs > until) return answer;
      this.warn(foreign);
      await sleep(waitMs, options.signal);
    }
  }

  /** Reports once, through {@link DeploymentOptions.patience}, what answers instead of the deployment while it is awaited. */
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
    const signal = deadline(options.timeoutMs ?? REQUEST_TIMEOUT_MS, options.signal);
    let answer: Answer;
    try {
      answer = await exchange(this.dialer, url, options.method ?? "GET", headers, body, signal);
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      if (signal.aborted) {
        throw new EngineError("ERR_TIMEOUT", `${url.origin} did not answer ${path} in time`, {
          retryable: true,
          cause: error,
        });
      }
      throw toEngineError(error, `cannot reach ${url.origin}`);
    }
    this.#checkVersion(answer.headers["x-coder-build-version"]);
    const replica = answer.headers[REPLICA_HEADER.toLowerCase()];
    if (typeof replica === "string" && REPLICA.test(replica)) this.#answeredBy = replica;
    return answer;
  }

  /**
   * Opens a request whose response does not end, such as an event stream. The caller reads and destroys the response; only its
   * beginning has a time limit. Rejects with ClientError or EngineError.
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
      const body = parseBody(await refusalOf(response));
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

/** A page with status 200 instead of the requested type does not come from the deployment. */
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
    let isAnswered = false;
    const request = send(url, { method, headers, agent: dialer.agentFor(url), signal }, (response) => {
      isAnswered = true;
      textOf(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parseBody(text) }),
        reject,
      );
    });
    request.on("error", (error) => {
      // The other side closed a kept connection while the request was under way (RFC 9112 §9.3.1). Each time there is one less.
      const isStale = method === "GET" && request.reusedSocket && !isAnswered && !signal.aborted;
      if (isStale) resolve(exchange(dialer, url, method, headers, body, signal));
      else reject(error);
    });
    request.end(body);
  });
}

/** Sends a GET and resolves with the response once its header has arrived. */
function beginning(
  dialer: Dialer,
  url: URL,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, { headers, agent: dialer.agentFor(url), signal }, (response) => {
      clearTimeout(late);
      resolve(response);
    });
    const late = setTimeout(() => request.destroy(new Error("no answer in time")), REQUEST_TIMEOUT_MS);
    request.on("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    request.end();
  });
}

/** The body of an answer that is no stream. Rejects if it does not end in time. */
async function refusalOf(response: IncomingMessage): Promise<string> {
  const late = setTimeout(() => response.destroy(new Error("the answer did not end in time")), REQUEST_TIMEOUT_MS);
  try {
    return await textOf(response);
  } finally {
    clearTimeout(late);
  }
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

type HeaderSource = NonNullable<DeploymentOptions["extraHeaders"]>;

function withBaggage(source: HeaderSource, sessionId: string | undefined): HeaderSource {
  if (sessionId === undefined) return source;
  return async () => {
    const { baggage, ...headers } = await source();
    return { ...headers, baggage: withSessionId(baggage, sessionId) };
  };
}
