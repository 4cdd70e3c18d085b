/** What a workspace proxy asks the primary deployment. */
import type { ClientError } from "coder-client/base/client-error";
import type { Dialer } from "coder-client/dial/dialer";
import { Deployment } from "coder-client/rest/deployment";
import {
  PROXY_DEREGISTER_PATH,
  PROXY_REGISTER_PATH,
  PROXY_TOKEN_HEADER,
  type RegisterProxyRequest,
  type RegisterProxyResponse,
  registerProxyResponse,
} from "coder-protocol/rest/workspace-proxies";
import { z } from "zod";
import type { ProxyToken } from "./token.ts";

const TIMEOUT_MS = 10_000;
/** The process ends then, whether the primary knows or not. */
const DEREGISTER_TIMEOUT_MS = 3_000;

/** Only what is used: stock deployments have other fields beside it. */
const primaryInfo = z.object({
  version: z.string(),
  dashboard_url: z.string().default(""),
  workspace_proxy: z.boolean().default(false),
});
export type PrimaryInfo = z.infer<typeof primaryInfo>;

export class Primary {
  /** With the proxy's token on every request. */
  readonly deployment: Deployment;

  constructor(options: { readonly url: URL; readonly token: ProxyToken; readonly dialer: Dialer }) {
    const { url, token, dialer } = options;
    this.deployment = new Deployment({
      url,
      dialer,
      extraHeaders: async () => ({ [PROXY_TOKEN_HEADER]: token.read() }),
    });
  }

  /** Each of these rejects with ClientError, EngineError, `signal.reason`, or an Error in words. */
  async identify(signal: AbortSignal): Promise<PrimaryInfo> {
    const body = await this.deployment.call("/api/v2/buildinfo", { signal, timeoutMs: TIMEOUT_MS });
    return shaped(primaryInfo, body, "/api/v2/buildinfo");
  }

  async register(request: RegisterProxyRequest, signal: AbortSignal): Promise<RegisterProxyResponse> {
    const options = { method: "POST", body: request, signal, timeoutMs: TIMEOUT_MS } as const;
    return shaped(registerProxyResponse, await this.deployment.call(PROXY_REGISTER_PATH, options), "registering");
  }

  async deregister(replicaId: string): Promise<void> {
    const body = { replica_id: replicaId };
    await this.deployment.call(PROXY_DEREGISTER_PATH, { method: "POST", body, timeoutMs: DEREGISTER_TIMEOUT_MS });
  }
}

/** Whether the primary itself, and nothing on the way to it, does not accept the token. */
export function isTokenRefused(error: unknown): boolean {
  return (error as Partial<ClientError> | undefined)?.code === "ERR_UNAUTHORIZED";
}

/** What failed, in words that name no host: the report that a proxy publishes has them. */
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
