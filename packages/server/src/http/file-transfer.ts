/** A file on its way between an HTTP client and a workspace, once the client may reach the workspace. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Transform } from "node:stream";
import { isUuid } from "coder-protocol/addresses";
import { DomainError } from "../base/domain-error.ts";
import { expectsContinue } from "../base/expect-continue.ts";
import type { Logger } from "../base/log.ts";
import type { AgentFiles } from "../tunnels/agent-files.ts";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import { HttpFailure } from "./failure.ts";

/** How much of a refused body is still read, and for how long, so that the client reads the answer instead of failing. */
const DRAINED_BYTES = 64 * 1024 * 1024;
const DRAINED_MS = 60_000;
/** A client that sends nothing for this long is disconnected. */
const STALL_MS = 60_000;
/** The message of an agent without file routes; stock agents answer in plain text. */
const NO_ROUTE = "Route not found.";
/** Statuses of agents that are passed on to the client. */
const PASSED_ON = [400, 403, 404, 409, 507];

export interface FileTransferParts {
  readonly files: AgentFiles;
  /** 0: no uploads. */
  readonly maxUploadBytes: number;
  readonly log: Logger;
}

export interface FileTransfer {
  /** PUT uploads; GET downloads or, with `check=true`, answers whether a download would succeed. */
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tunnel: TunnelRequest;
  /** Of the request. */
  readonly query: URLSearchParams;
}

/** Answers the request. Rejects with HttpFailure or DomainError; after a refusal, {@link drainBody} reads what still comes. */
export async function transferFile(parts: FileTransferParts, transfer: FileTransfer): Promise<void> {
  const { request, response, query } = transfer;
  const passed = { ...transfer, query: agentQuery(query) };
  response.setHeader("Cache-Control", "no-store");
  if (request.method === "PUT") await upload(parts, passed);
  else if (query.get("check") === "true") await check(parts, passed);
  else await download(parts, passed);
}

/** The part of the query that is meant for the agent. Throws HttpFailure. */
function agentQuery(query: URLSearchParams): URLSearchParams {
  const path = query.get("path") ?? "";
  if (path === "") throw new HttpFailure(400, 'Query param "path" is missing');
  const passed = new URLSearchParams({ path });
  if (query.get("overwrite") === "true") passed.set("overwrite", "true");
  const terminal = (query.get("terminal") ?? "").toLowerCase();
  if (isUuid(terminal)) passed.set("terminal", terminal);
  return passed;
}

async function upload(parts: FileTransferParts, { request, response, tunnel, query }: FileTransfer): Promise<void> {
  const { maxUploadBytes } = parts;
  if (maxUploadBytes === 0)
    throw new HttpFailure(403, "Uploads are switched off", { detail: "See --max-upload-size." });
  const declared = request.headers["content-length"];
  const length = declared === undefined ? undefined : Number(declared);
  const tooLong = (): HttpFailure => new HttpFailure(413, `Files may have at most ${maxUploadBytes} bytes.`);
  if (length !== undefined && length > maxUploadBytes) throw tooLong();
  if (expectsContinue(request)) response.writeContinue();
  let received = 0;
  const stall = setTimeout(() => request.destroy(), STALL_MS).unref();
  const counted = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      received += chunk.length;
      stall.refresh();
      done(received > maxUploadBytes ? tooLong() : null, chunk);
    },
  });
  counted.on("error", () => undefined); // the upload rejects with the same error
  request.once("error", (error) => counted.destroy(error));
  request.pipe(counted);
  try {
    const { status, text } = await parts.files.upload(tunnel, query, counted, length);
    if (status !== 201) throw refusal(status, text);
    response.writeHead(201, { "Content-Type": "application/json; charset=utf-8" }).end(text);
  } catch (error) {
    request.unpipe(counted);
    counted.destroy();
    throw known(parts.log, tunnel, error);
  } finally {
    clearTimeout(stall);
  }
}

async function download(parts: FileTransferParts, { response, tunnel, query }: FileTransfer): Promise<void> {
  const name = (query.get("path") ?? "").split("/").at(-1) ?? "";
  try {
    const refused = await parts.files.download(tunnel, query, (length) => {
      if (length !== undefined) response.setHeader("Content-Length", length);
      response.writeHead(200, {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": attachment(name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
      });
      return response;
    });
    if (refused !== undefined) throw refusal(refused.status, refused.text);
  } catch (error) {
    throw known(parts.log, tunnel, error);
  }
}

/** Answers 204 if a download would succeed. */
async function check(parts: FileTransferParts, { response, tunnel, query }: FileTransfer): Promise<void> {
  try {
    const refused = await parts.files.check(tunnel, query);
    if (refused !== undefined) throw refusal(refused.status, refused.text);
    response.writeHead(204).end();
  } catch (error) {
    throw known(parts.log, tunnel, error);
  }
}

/** RFC 6266: a plain name for all clients, and the full one in UTF-8. */
function attachment(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

function refusal(status: number, text: string): HttpFailure {
  const message = messageOf(text);
  if (status === 405 || (status === 404 && (message === undefined || message === NO_ROUTE)))
    return new HttpFailure(501, "This workspace's agent takes no files", { detail: "Update it." });
  if (!PASSED_ON.includes(status)) return new HttpFailure(502, "The agent answered unexpectedly");
  return new HttpFailure(status, message ?? "The workspace refused the file");
}

function messageOf(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message.slice(0, 300) : undefined;
  } catch {
    return undefined; // not JSON: a stock agent, or a fault of the agent
  }
}

/** Passes on a refusal as it is; any other error means that the connection to the workspace failed. */
function known(log: Logger, { agentId }: TunnelRequest, error: unknown): Error {
  if (error instanceof HttpFailure || error instanceof DomainError) return error;
  log.info({ err: error, agent: agentId }, "a file did not reach its end");
  return new HttpFailure(502, "The connection to the workspace broke off", { detail: "Try again." });
}

/** Keeps reading for a while: a client that is still sending would take a closed connection for a network failure. */
export function drainBody(request: IncomingMessage): void {
  if (request.destroyed) return;
  let left = DRAINED_BYTES;
  const late = setTimeout(() => request.destroy(), DRAINED_MS).unref();
  request.once("close", () => clearTimeout(late));
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
  request.resume();
}
