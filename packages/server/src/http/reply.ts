import type { IncomingMessage } from "node:http";
import { isUuid } from "coder-protocol/addresses";
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { HttpFailure } from "./failure.ts";
import type { HttpEnv } from "./hono.ts";

/** The validated JSON body of a request. Throws HttpFailure 400, 413 or 415. */
export async function readJson<Schema extends z.ZodType>(
  c: Context<HttpEnv>,
  schema: Schema,
  maxBytes: number,
): Promise<z.infer<Schema>> {
  const text = await readBody(c.env.incoming, maxBytes);
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch {
    throw new HttpFailure(400, "Request body must be valid JSON.");
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new HttpFailure(400, "Validation failed.", {
      validations: parsed.error.issues
        .slice(0, 32)
        .map((issue) => ({ field: issue.path.join("."), detail: issue.message })),
    });
  }
  return parsed.data;
}

/** The body as text; reading stops at the limit. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request) {
      const bytes: Buffer = chunk;
      length += bytes.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(bytes);
    }
  } catch (error) {
    // A client that leaves in the middle of its request is no fault of the server, and must not fill its log.
    throw error instanceof HttpFailure ? error : new HttpFailure(400, "The request ended early.");
  }
  return Buffer.concat(chunks).toString("utf8");
}

function tooLarge(maxBytes: number): HttpFailure {
  return new HttpFailure(413, `Request body must have at most ${maxBytes} bytes.`, {
    headers: { Connection: "close" },
  });
}

export function failureResponse(c: Context<HttpEnv>, failure: HttpFailure): Response {
  for (const [name, value] of Object.entries(failure.headers)) c.header(name, value);
  return c.json(failure.body, failure.status as ContentfulStatusCode);
}

/** limit and offset of a listing; a limit that is 0 or missing means `fallback`. Throws HttpFailure 400. */
export function readPage(c: Context<HttpEnv>, fallback: number): { limit: number; offset: number } {
  const read = (name: string): number => {
    const text = c.req.query(name);
    if (text === undefined || text === "") return 0;
    if (!/^\d{1,9}$/.test(text)) {
      throw new HttpFailure(400, "Query parameters have invalid values.", {
        validations: [{ field: name, detail: `Query param "${name}" must be a whole number` }],
      });
    }
    return Number(text);
  };
  const limit = read("limit");
  return { limit: limit === 0 ? fallback : limit, offset: read("offset") };
}

/** A UUID from the path in lower case. Throws HttpFailure 400. */
export function uuidParam(c: Context<HttpEnv>, name: string): string {
  const value = (c.req.param(name) ?? "").toLowerCase();
  if (!isUuid(value)) throw new HttpFailure(400, `Invalid UUID "${value.slice(0, 64)}".`);
  return value;
}
