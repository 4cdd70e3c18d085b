/** The part of a scripted primary that grants rights to apps and terminals. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import {
  APP_REFUSAL_HEADER,
  type AppGrant,
  type AppRequest,
  type AppUse,
  appStatsRequest,
  type CryptoKey,
  type IssueAppTokenRequest,
  issueAppTokenRequest,
  PROXY_APP_STATS_PATH,
  PROXY_CRYPTO_KEYS_PATH,
  PROXY_ISSUE_APP_TOKEN_PATH,
  PROXY_REDEEM_TICKET_PATH,
  type RedeemAppTicketRequest,
  redeemAppTicketRequest,
} from "coder-protocol/rest/proxy-apps";
import { type AppTokenFacts, type AppTokenParties, proxyAudience, signAppToken } from "../src/base/app-token.ts";

export const DEPLOYMENT_ID = "5f9d8c7b-1111-4a4a-8b8b-0123456789ab";
export const ADA = { id: "11111111-2222-4333-8444-555555555555", username: "ada" };
export const AGENT_ID = "99999999-8888-4777-8666-555555555555";
const WORKSPACE = { id: "77777777-6666-4555-8444-333333333333", name: "dev" };

/** What the scripted primary answers instead of a token. */
export interface Refusal {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: string;
}

export class FakeApps {
  sequence = 7;
  /** Requests for keys and for rights, in order. */
  readonly asked: string[] = [];
  readonly requests: (Required<IssueAppTokenRequest> & { readonly accept: string })[] = [];
  /** Grants or refuses a right. */
  issue: (request: IssueAppTokenRequest) => AppTokenFacts | Refusal | Promise<AppTokenFacts | Refusal> = () => ({
    status: 404,
    body: "{}",
  });
  /** The session for a ticket; undefined if the ticket is not valid. */
  redeem: (request: RedeemAppTicketRequest) => string | undefined = () => undefined;
  /** Where the browser continues after a sign-in; undefined: at its target. */
  next: (request: RedeemAppTicketRequest) => string | undefined = () => undefined;
  /** Uses of apps that were reported. */
  readonly uses: AppUse[] = [];
  /** The answer to a report of uses. */
  usesStatus = 204;
  /** Whether refusals are decisions about visitors. */
  decides = true;
  readonly #proxyId: string;

  constructor(proxyId: string) {
    this.#proxyId = proxyId;
  }

  /** A token signed like the primary's; `parties` may be those of another deployment or proxy. */
  sign(facts: AppTokenFacts, parties: Partial<AppTokenParties> = {}, sequence = this.sequence): string {
    const mine = { issuer: DEPLOYMENT_ID, audience: proxyAudience(this.#proxyId), now: Date.now() };
    return signAppToken(facts, { secret: secretOf(sequence), sequence, deletesAt: Infinity }, { ...mine, ...parties });
  }

  /** Undefined if the request is none of these. */
  async answer(request: IncomingMessage, text: string): Promise<Refusal | undefined> {
    const url = new URL(request.url ?? "/", "http://unused");
    if (request.method === "GET" && url.pathname === PROXY_CRYPTO_KEYS_PATH) {
      const feature = url.searchParams.get("feature");
      this.asked.push(`keys ${feature}`);
      const body = { crypto_keys: [this.#key(this.sequence)] };
      return feature === "workspace_apps_token" ? json(200, body) : json(400, {});
    }
    if (request.method === "POST" && url.pathname === PROXY_ISSUE_APP_TOKEN_PATH) {
      const asked = issueAppTokenRequest.parse(JSON.parse(text));
      this.requests.push({ ...asked, accept: request.headers.accept ?? "" });
      const answer = await this.issue(asked);
      if (!("status" in answer)) return json(201, { signed_token_str: this.sign(answer) });
      const mark = this.decides ? { [APP_REFUSAL_HEADER]: "1" } : {};
      return { ...answer, headers: { ...answer.headers, ...mark } };
    }
    if (request.method === "POST" && url.pathname === PROXY_REDEEM_TICKET_PATH) {
      const redemption = redeemAppTicketRequest.parse(JSON.parse(text));
      const session = this.redeem(redemption);
      const body = { session_id: session, max_age_seconds: 86_400, next: this.next(redemption) };
      return session === undefined ? json(400, {}) : json(200, body);
    }
    if (request.method === "POST" && url.pathname === PROXY_APP_STATS_PATH) {
      const { stats } = appStatsRequest.parse(JSON.parse(text));
      if (this.usesStatus === 204) this.uses.push(...stats);
      return { status: this.usesStatus, body: this.usesStatus === 204 ? "" : "{}" };
    }
    return undefined;
  }

  #key(sequence: number): CryptoKey {
    const [starts_at, deletes_at] = [-3_600_000, 3_600_000].map((ms) => new Date(Date.now() + ms).toISOString());
    const feature = "workspace_apps_token";
    return { feature, secret: secretOf(sequence), sequence, starts_at: starts_at!, deletes_at: deletes_at! };
  }
}

/** The facts of a token for Ada's agent, apart from those under test. */
export function factsOf(
  request: Pick<AppRequest, "access_method"> & Partial<AppRequest>,
  grant: Partial<AppGrant> = {},
): AppTokenFacts {
  const visitor = { ...ADA, role: "member", email: "ada@example.com" } as const;
  return {
    jti: randomUUID(),
    base_path: "",
    app_prefix: "",
    username_or_id: ADA.username,
    workspace_name_or_id: WORKSPACE.name,
    agent_name_or_id: "main",
    app_slug_or_port: "",
    ...request,
    user_id: ADA.id,
    workspace_id: WORKSPACE.id,
    agent_id: AGENT_ID,
    app_url: "",
    grant: {
      visitor,
      owner: ADA,
      workspace: WORKSPACE,
      agent: { id: AGENT_ID, name: "main" },
      state: "running",
      ...grant,
    },
  };
}

export function json(status: number, body: object): Refusal {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function secretOf(sequence: number): string {
  return sequence.toString(16).padStart(2, "0").repeat(32);
}
