/**
 * Determines who answered: the deployment or an intermediary. Only the deployment is believed about a workspace, a token or a
 * permission; a load balancer's 404 or a captive portal's page means nothing.
 */
import { ClientError } from "../base/client-error.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Parsed JSON, or the text when it is not JSON, or undefined when empty. */
  readonly body: unknown;
}

const VERSION_HEADER = "x-coder-build-version";
/** Fields of the deployment's failure bodies; gateways that answer in JSON use others beside "message". */
const FAILURE_FIELDS: ReadonlySet<string> = new Set(["message", "detail", "validations", "code"]);
/** Headers of gateways whose own failures look like {"message": "Not Found"}. */
const GATEWAY_HEADERS = /^(x-kong-|x-amzn?-|apigw-|x-apigee-|x-azure-ref|cf-mitigated)/;
const GATEWAY_SERVERS = /kong|envoy|apisix|tyk|awselb|cloudfront/i;
const MAX_TEXT_CHARS = 80;
const MAX_RETRY_AFTER_MS = 60_000;

/** Whether the response is the deployment's own: by the header that it sets on every response, or by the shape of a failure. */
export function isDeployments(answer: HttpAnswer): boolean {
  if (one(answer.headers, VERSION_HEADER) !== undefined) return true;
  const { body } = answer;
  if (answer.status >= 200 && answer.status < 300) return typeof body !== "string";
  if (answer.status < 400 || typeof body !== "object" || body === null) return false;
  if (Object.keys(answer.headers).some((name) => GATEWAY_HEADERS.test(name))) return false;
  if (GATEWAY_SERVERS.test(one(answer.headers, "server") ?? "")) return false;
  return (
    typeof (body as { message?: unknown }).message === "string" &&
    Object.keys(body).every((field) => FAILURE_FIELDS.has(field))
  );
}

/**
 * Why the response is of no use, in words that name who gave it; undefined when it is the deployment's.
 * @param host `coder.example.com[:port]`
 */
export function foreignAnswer(answer: HttpAnswer, host: string): ClientError | undefined {
  if (isDeployments(answer)) {
    if (!isCutShort(answer)) return undefined;
    return new ClientError("ERR_NOT_A_CODER_SERVER", `The answer of ${host} was cut short`, {
      detail: "it is incomplete JSON: something on the way ended it early",
      retryable: true,
    });
  }
  return new ClientError(
    "ERR_NOT_A_CODER_SERVER",
    `${host} did not answer as a Coder deployment: ${describe(answer)}`,
    {
      retryable: true,
      retryAfterMs: retryAfterMs(answer.headers),
    },
  );
}

/** The error for an intermediary that removed the Upgrade header from a WebSocket request; undefined for any other refusal. */
export function strippedUpgrade(answer: HttpAnswer, host: string): ClientError | undefined {
  const text =
    typeof answer.body === "string" ? answer.body : ((answer.body as { message?: unknown } | null)?.message ?? "");
  const asksForUpgrade =
    answer.status === 426 ||
    (answer.status === 400 && isDeployments(answer) && /websocket protocol violation|upgrade/i.test(String(text)));
  if (!asksForUpgrade) return undefined;
  return new ClientError(
    "ERR_UPGRADE_STRIPPED",
    `No WebSocket gets through to ${host}: something on the way removes the "Upgrade" header`,
    { detail: describe(answer), retryable: true },
  );
}

/** Describes who answered, as far as the response shows: `404 Not Found from "nginx", with a page "Maintenance"`. */
function describe({ status, headers, body }: HttpAnswer): string {
  const server = plain(one(headers, "server") ?? "");
  const via = plain(one(headers, "via") ?? "");
  const from = server !== "" ? ` from "${server}"` : via !== "" ? ` by way of "${via}"` : "";
  const location = one(headers, "location");
  const target = location !== undefined && URL.canParse(location) ? new URL(location).host : undefined;
  const redirect =
    status < 300 || status >= 400
      ? ""
      : target === undefined
        ? ", a redirect"
        : `, a redirect to ${plain(target)}, as login pages of networks do`;
  const shown = typeof body === "string" ? titleOf(body) : "";
  return `it was ${status}${reasonOf(status)}${from}${redirect}${shown === "" ? "" : `, with a page "${shown}"`}`;
}

/** Only the usual ones, because web pages load this too and lack Node's table. */
const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  302: "Found",
  307: "Temporary Redirect",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  407: "Proxy Authentication Required",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

function reasonOf(status: number): string {
  const reason = REASONS[status];
  return reason === undefined ? "" : ` ${reason}`;
}

/** What a user would see of a page: its title, or its first words. */
function titleOf(html: string): string {
  const start = html.slice(0, 64 * 1024);
  const title = /<title[^<>]*>([^<]*)/i.exec(start)?.[1] ?? "";
  return plain(title) || plain(withoutTags(start.replace(/<(script|style)[^<>]*>[\s\S]*?(?:<\/\1>|$)/gi, " ")));
}

/**
 * Text with each tag replaced by a space. A tag ends at the next bracket of either kind; one that could run to the end of the text
 * would make a page of opening brackets cost the square of its length.
 */
export function withoutTags(html: string): string {
  return html.replace(/<[^<>]*>/g, " ");
}

/** One line that is safe on a terminal, whatever was sent. */
function plain(text: string): string {
  const line = text
    .replace(/\s+/g, " ")
    .replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "")
    .replaceAll('"', "'")
    .trim();
  return line.length > MAX_TEXT_CHARS ? `${line.slice(0, MAX_TEXT_CHARS)}…` : line;
}

/** The response is declared as JSON but is not valid. */
function isCutShort({ headers, body }: HttpAnswer): boolean {
  return typeof body === "string" && body !== "" && /\bjson\b/i.test(one(headers, "content-type") ?? "");
}

/** Retry-After in seconds or as a date (RFC 9110 §10.2.3); undefined when there is none. */
export function retryAfterMs(headers: HttpAnswer["headers"]): number | undefined {
  const text = one(headers, "retry-after");
  if (text === undefined) return undefined;
  const ms = /^[0-9]{1,6}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined;
}

function one(headers: HttpAnswer["headers"], name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.[0];
}
