/** The REST calls of the pages: JSON in both directions, the CSRF proof, and what every response says besides its body. */
import { signal } from "@preact/signals";
import type { ErrorBody } from "coder-protocol/rest/common";

/** A response with a status other than 2xx, or no response. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** 0 when there was no response. */
  readonly status: number;
  readonly detail: string;
  /** Messages by field of the request. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(status: number, body: ErrorBody) {
    super(body.message);
    this.status = status;
    const validations = body.validations ?? [];
    this.detail = body.detail ?? validations.map(({ field, detail }) => `${field}: ${detail}`).join("; ");
    this.fields = Object.fromEntries(validations.map(({ field, detail }) => [field, detail]));
  }

  /** Whether the same request may succeed a little later. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Version of the server, from its latest response. */
export const serverVersion = signal("");
/** When the server last answered, ms since 1970. */
export const lastAnswerAt = signal(Date.now());
/** Incremented by a response which says that the login has ended. */
export const loginEnded = signal(0);

const TIMEOUT_MS = 30_000;

export interface CallOptions {
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** `path` is relative to /api/v2. Throws ApiError, or the signal's reason when it aborts. */
export async function call<Answer>(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const response = await inTime(send(method, path, options, limit), options, limit);
  const version = response.headers.get("X-Coder-Build-Version") ?? "";
  if (version !== "") serverVersion.value = version;
  lastAnswerAt.value = Date.now();
  if (response.status === 401 && path !== "/users/login") loginEnded.value++;
  const text = await inTime(response.text(), options, limit);
  if (!response.ok) throw new ApiError(response.status, errorBody(text, response.status));
  return (text === "" ? undefined : JSON.parse(text)) as Answer;
}

function send(method: string, path: string, options: CallOptions, limit: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-TOKEN"] = csrfProof();
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  return fetch(`/api/v2${path}`, {
    method,
    headers,
    credentials: "same-origin",
    signal: options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]),
    body: options.body === undefined ? null : JSON.stringify(options.body),
  });
}

/** The response or its body; both may fail to arrive. */
async function inTime<Part>(part: Promise<Part>, options: CallOptions, limit: AbortSignal): Promise<Part> {
  try {
    return await part;
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    const message = limit.aborted ? "The server did not answer within 30 seconds" : "The server cannot be reached";
    throw new ApiError(0, { message, detail: "Check your network; the page tries again where it can." });
  }
}

function errorBody(text: string, status: number): ErrorBody {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody>;
    if (typeof body.message === "string") return body as ErrorBody;
  } catch {
    // A proxy in between answered with a page of its own.
  }
  return { message: `The answer had the status ${status}`, detail: "It did not come from this deployment's API." };
}

/** The value of the cookie that only pages of this origin can read. */
export function csrfProof(): string {
  for (const pair of document.cookie.split("; ")) {
    const [name, value] = pair.split("=", 2);
    if (name === "csrf_token" || name === "__Host-csrf_token") return value ?? "";
  }
  return "";
}
