/** The requests that a workspace proxy sends to the primary deployment. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ClientError } from "coder-client/base/client-error";
import type { Dialer } from "coder-client/dial/dialer";
import { Deployment } from "coder-client/rest/deployment";
import { BUILD_VERSION_HEADER } from "coder-protocol/rest/common";
import {
  APP_REFUSAL_HEADER,
  type AppUse,
  type CryptoKey,
  cryptoKeysResponse,
  type IssueAppTokenRequest,
  issueAppTokenResponse,
  PROXY_APP_STATS_PATH,
  PROXY_CRYPTO_KEYS_PATH,
  PROXY_ISSUE_APP_TOKEN_PATH,
  PROXY_REDEEM_TICKET_PATH,
  type RedeemAppTicketRequest,
  type RedeemAppTicketResponse,
  redeemAppTicketResponse,
} from "coder-protocol/rest/proxy-apps";
import {
  PROXY_DEREGISTER_PATH,
  PROXY_REGISTER_PATH,
  PROXY_TOKEN_HEADER,
  type RegisterProxyRequest,
  type RegisterProxyResponse,
  registerProxyResponse,
} from "coder-protocol/rest/workspace-proxies";
import { z } from "zod";
import { parsedJson } from "../base/parsed-json.ts";
import { textOf } from "../base/text-of.ts";
import { BUILD_VERSION } from "../base/version.ts";
import type { ProxyToken } from "./token.ts";

const TIMEOUT_MS = 10_000;
/** After this time the process ends, whether or not the primary has been informed. */
const DEREGISTER_TIMEOUT_MS = 3_000;
/** For an answer to a visitor: a page or JSON. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** The headers of such an answer that the visitor's browser receives. */
const PASSED_HEADERS = [
  "content-type",
  "content-security-policy",
  "cache-control",
  "referrer-policy",
  "x-content-type-options",
  "location",
  "retry-after",
  "coder-app-login",
] as const;

/** The primary's answer to a visitor, which is passed on unchanged. */
export interface PassedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Only the fields that are used; stock deployments send others as well. */
const primaryInfo = z.object({
  version: z.string(),
  dashboard_url: z.string().default(""),
  deployment_id: z.string().default(""),
  workspace_proxy: z.boolean().default(false),
});
export type PrimaryInfo = z.infer<typeof primaryInfo>;

export class Primary {
  /** Sends the proxy's token with every request. */
  readonly deployment: Deployment;

  constructor(options: { readonly url: URL; readonly token: ProxyToken; readonly dialer: Dialer }) {
    const { url, token, dialer } = options;
    this.deployment = new Deployment({
      url,
      dialer,
      clientVersion: BUILD_VERSION,
      ownHeaders: async () => ({ [PROXY_TOKEN_HEADER]: token.read() }),
    });
  }

  /** Each of these methods rejects with ClientError, EngineError, `signal.reason`, or an Error with a readable message. */
  async identify(signal: AbortSignal): Promise<PrimaryInfo> {
    const body = await this.deployment.call("/api/v2/buildinfo", { signal, timeoutMs: TIMEOUT_MS });
    return shaped(primaryInfo, body, "/api/v2/buildinfo");
  }

  async register(request: RegisterProxyRequest, signal: AbortSignal): Promise<RegisterProxyResponse> {
    const options = { method: "POST", body: request, signal, timeoutMs: TIMEOUT_MS } as const;
    return shaped(registerProxyResponse, await this.deployment.call(PROXY_REGISTER_PATH, options), "registering");
  }

  async cryptoKeys(): Promise<readonly CryptoKey[]> {
    const query = { feature: "workspace_apps_token" };
    const body = await this.deployment.call(PROXY_CRYPTO_KEYS_PATH, { query, timeoutMs: TIMEOUT_MS });
    return shaped(cryptoKeysResponse, body, "the question for keys").crypto_keys;
  }

  /**
   * Rejects if the answer is not about the visitor. @param accept The types that the visitor's browser accepts, for a refusal.
   */
  async issueAppToken(
    request: IssueAppTokenRequest,
    accept: string,
  ): Promise<{ readonly token: string } | { readonly refused: PassedAnswer }> {
    const answer = await this.#answerFor(PROXY_ISSUE_APP_TOKEN_PATH, request, accept);
    if (answer.status !== 201 && answer.isDecision) return { refused: answer };
    if (answer.status !== 201) throw failedWith(answer.status);
    const body = shaped(issueAppTokenResponse, parsedJson(answer.body), "the question for a right");
    return { token: body.signed_token_str };
  }

  /** Undefined if the ticket is not valid for this browser and host. */
  async redeemTicket(request: RedeemAppTicketRequest): Promise<RedeemAppTicketResponse | undefined> {
    const answer = await this.#answerFor(PROXY_REDEEM_TICKET_PATH, request, "application/json");
    if (answer.status === 400) return undefined;
    if (answer.status < 200 || answer.status >= 300) throw failedWith(answer.status);
    return shaped(redeemAppTicketResponse, parsedJson(answer.body), "the ticket");
  }

  /**
   * Sends one POST on behalf of a visitor. Redirects are returned like any other answer. Rejects if the answer is not the
   * primary's own, or the primary is busy or has failed.
   */
  async #answerFor(path: string, body: object, accept: string): Promise<PassedAnswer & { isDecision: boolean }> {
    const url = this.deployment.resolve(path);
    const text = Buffer.from(JSON.stringify(body));
    const headers = {
      ...(await this.deployment.headers()),
      Accept: accept,
      "Content-Type": "application/json",
      "Content-Length": String(text.length),
    };
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const agent = this.deployment.dialer.agentFor(url);
      const request = send(url, { method: "POST", headers, agent, signal: AbortSignal.timeout(TIMEOUT_MS) }, resolve);
      request.on("error", reject);
      request.end(text);
    });
    const { statusCode: status = 0 } = response;
    if (response.headers[BUILD_VERSION_HEADER.toLowerCase()] === undefined || status === 429 || status >= 500) {
      response.destroy();
      throw failedWith(status);
    }
    const passed = PASSED_HEADERS.flatMap((name) => {
      const value = response.headers[name];
      return typeof value === "string" ? [[name, value] as const] : [];
    });
    const isDecision = response.headers[APP_REFUSAL_HEADER.toLowerCase()] !== undefined;
    return {
      status,
      headers: Object.fromEntries(passed),
      body: await textOf(response, MAX_ANSWER_BYTES),
      isDecision,
    };
  }

  /** @param isLast The process is ending, so the request waits no longer than deregistering does. */
  async reportUses(stats: readonly AppUse[], isLast: boolean): Promise<void> {
    const timeoutMs = isLast ? DEREGISTER_TIMEOUT_MS : TIMEOUT_MS;
    await this.deployment.call(PROXY_APP_STATS_PATH, { method: "POST", body: { stats }, timeoutMs });
  }

  async deregister(replicaId: string): Promise<void> {
    const body = { replica_id: replicaId };
    await this.deployment.call(PROXY_DEREGISTER_PATH, { method: "POST", body, timeoutMs: DEREGISTER_TIMEOUT_MS });
  }
}

/** For an answer that decides nothing about a visitor. 401 means that the primary does not accept the proxy. */
function failedWith(status: number): Error {
  return Object.assign(new Error(`HTTP ${status}`), { status, code: status === 401 ? "ERR_UNAUTHORIZED" : undefined });
}

/** Whether the primary itself, and not something in between, refuses the token. */
export function isTokenRefused(error: unknown): boolean {
  return (error as Partial<ClientError> | undefined)?.code === "ERR_UNAUTHORIZED";
}

/** What failed, in words that name no host, because the proxy publishes them in its report. */
export function publicReasonOf(error: unknown): string {
  const { code, status } = (error ?? {}) as Partial<ClientError>;
  if (code === "ERR_NOT_A_CODER_SERVER") return "what answered is not a Coder deployment";
  if (status !== undefined) return `the primary answered with HTTP ${status}`;
  return "the primary was not reached";
}

/** What failed, as one line for the log. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { detail } = error as Partial<ClientError>;
  return detail === undefined ? error.message : `${error.message}: ${detail}`;
}

function shaped<Shape extends z.ZodType>(shape: Shape, body: unknown, what: string): z.output<Shape> {
  const { success, data, error } = shape.safeParse(body);
  if (success) return data as z.output<Shape>;
  const [issue] = error.issues;
  throw new Error(`the answer to ${what} is not understood: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
}
