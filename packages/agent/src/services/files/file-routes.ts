/** PUT and GET /api/v0/files: copies a file into the workspace or out of it. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { isCanonicalUuid } from "coder-protocol/addresses";
import { FileFailure, fileFailure } from "./failure.ts";
import { locate, locateExisting } from "./locate.ts";
import { receiveFile } from "./upload.ts";

/** Opening must not wait for the writer of a named pipe, and a device must not become the controlling terminal. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

export interface FileRoutesOptions {
  readonly home: () => string;
  /** The directory of a terminal's shell. */
  readonly directoryOf: (terminalId: string) => string | undefined;
}

export interface FileAnswer {
  readonly status: number;
  readonly body: unknown;
}

export class FileRoutes {
  readonly #options: FileRoutesOptions;

  constructor(options: FileRoutesOptions) {
    this.#options = options;
  }

  /** @param onProgress Called after each piece; nothing else limits the time. */
  async upload(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    onProgress: () => void,
  ): Promise<FileAnswer> {
    try {
      const target = await this.#locate(query, locate);
      const overwrite = query.get("overwrite") === "true";
      return { status: 201, body: await receiveFile(bodyOf(request, response), target, { overwrite, onProgress }) };
    } catch (error) {
      if (request.destroyed && !request.complete) return refusal(new FileFailure(400, "The body broke off."));
      return refusal(error);
    }
  }

  /** @returns What to answer instead of the file. */
  async download(
    response: ServerResponse,
    query: URLSearchParams,
    onProgress: () => void,
  ): Promise<FileAnswer | undefined> {
    const file = await this.#locate(query, locateExisting)
      .then((path) => open(path, OPEN_FLAGS))
      .catch((error: unknown) => refusal(error));
    if (!("fd" in file)) return file;
    try {
      const facts = await file.stat();
      if (!facts.isFile()) return refusal(new FileFailure(400, "This is not a regular file."));
      // Kernel files report size 0 but have content, so they are read to their end.
      const sized = facts.size > 0;
      if (sized) response.setHeader("Content-Length", facts.size);
      response.writeHead(200, { "Content-Type": "application/octet-stream", Connection: "close" });
      const content = file.createReadStream({
        autoClose: false,
        end: sized ? facts.size - 1 : Number.POSITIVE_INFINITY,
      });
      content.on("data", onProgress);
      await pipeline(content, response);
      return undefined;
    } finally {
      await file.close();
    }
  }

  async #locate(query: URLSearchParams, find: typeof locate): Promise<string> {
    const home = this.#options.home();
    const terminal = query.get("terminal") ?? "";
    const directory = isCanonicalUuid(terminal) ? this.#options.directoryOf(terminal) : undefined;
    return await find(query.get("path") ?? "", { home, directory: directory ?? home });
  }
}

/** Requests the body only when reading starts, so that it can be refused before it is sent. */
async function* bodyOf(request: IncomingMessage, response: ServerResponse): AsyncGenerator<Uint8Array> {
  if (request.headers.expect !== undefined) response.writeContinue();
  // The connection must outlive an unread body, because it carries the answer.
  yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}

/** The refusal as an answer. Throws any other error. */
function refusal(error: unknown): FileAnswer {
  const failure = fileFailure(error);
  if (failure === undefined) throw error;
  return { status: failure.status, body: { message: failure.message } };
}
