/** REST calls of a page, by fetch. Credentials go to the deployment's own origin only. */
import { deadline } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import { foreignAnswer } from "../rest/answerer.ts";
import { parseBody, type RequestOptions, type RestApi, resolvePath } from "../rest/api.ts";
import { failureOf } from "../rest/api-failure.ts";

const REQUEST_TIMEOUT_MS = 30_000;

export interface BrowserDeploymentOptions {
  /** The access URL: the page's own origin, or one that permits the page (CORS). */
  readonly url: URL;
  readonly auth: BrowserAuth;
}

/** A token, or `cookie` for a page of the deployment itself: the browser then sends the login, and no URL contains it. */
export type BrowserAuth = { readonly token: string } | "cookie";

export class BrowserDeployment implements RestApi {
  readonly url: URL;
  readonly #auth: BrowserAuth;

  constructor(options: BrowserDeploymentOptions) {
    this.url = options.url;
    this.#auth = options.auth;
  }

  /** Sends a request and returns the body of a 2xx answer. Rejects with ClientError or EngineError. */
  async call(path: string, options: RequestOptions = {}): Promise<unknown> {
    const url = resolvePath(this.url, path, options.query);
    const method = options.method ?? "GET";
    // A change by cookie needs a proof that only a page can read; a worker has no cookies.
    if (this.#auth === "cookie" && method !== "GET") throw new TypeError("only GET requests can use a page's cookie");
    const headers: Record<string, string> = { Accept: "application/json" };
    if (this.#auth !== "cookie") headers["Coder-Session-Token"] = this.#auth.token;
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        method,
        headers,
        redirect: "error",
        credentials: this.#auth === "cookie" ? "same-origin" : "omit",
        signal: deadline(options.timeoutMs ?? REQUEST_TIMEOUT_MS, options.signal),
        body: options.body === undefined ? null : JSON.stringify(options.body),
      });
      text = await response.text();
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw new EngineError(
        "ERR_NETWORK_UNREACHABLE",
        `cannot reach ${url.origin}, or it does not permit this page (CORS)`,
        {
          retryable: true,
          cause: error,
        },
      );
    }
    const body = parseBody(text);
    const answer = { status: response.status, headers: Object.fromEntries(response.headers), body };
    if (!response.ok) throw failureOf(answer, `${method} ${path}`, url.host);
    const foreign = foreignAnswer(answer, url.host);
    if (foreign !== undefined) throw foreign;
    return body;
  }

  /** A WebSocket's URL. Pages cannot set headers on it, so the token goes into the query, which our server does not log. */
  webSocketUrl(path: string, query: RequestOptions["query"] = {}): URL {
    const token = this.#auth === "cookie" ? undefined : this.#auth.token;
    return resolvePath(this.url, path, { ...query, coder_session_token: token });
  }
}
