/** The part of a deployment's REST API that finds and starts workspaces, on Node and in web pages. */

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | undefined;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** False for requests made before login. */
  readonly authenticated?: boolean | undefined;
}

export interface RestApi {
  /** Sends a request and returns the body of a 2xx answer. Rejects with ClientError or EngineError. */
  call(path: string, options?: RequestOptions): Promise<unknown>;
}

/** The URL of a path below the access URL, with query. */
export function resolvePath(base: URL, path: string, query: RequestOptions["query"] = {}): URL {
  const url = new URL(base.pathname.replace(/\/$/, "") + path, base);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/** An answer's body: parsed JSON, or the text when it is not JSON, or undefined when it is empty. */
export function parseBody(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // not JSON but an intermediary's error page
  }
}
