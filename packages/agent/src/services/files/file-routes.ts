/** PUT and GET /api/v0/files: copies a file into the workspace or out of it. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isAbsolute, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { isCanonicalUuid } from "coder-protocol/addresses";
import type { FileTurn } from "../../host/thread-shares.ts";
import { FileFailure, fileFailure } from "./failure.ts";
import { locate, locateExisting } from "./locate.ts";
import { receiveFile } from "./upload.ts";

/** Opening must not wait for the writer of a named pipe, and a device must not become the controlling terminal. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const BLOCK_BYTES = 64 * 1024;

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
    turn: FileTurn,
  ): Promise<FileAnswer> {
    try {
      const target = await this.#locate(query, locate, turn);
      const overwrite = query.get("overwrite") === "true";
      const options = { overwrite, onProgress, turn };
      return { status: 201, body: await receiveFile(bodyOf(request, response), target, options) };
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
    turn: FileTurn,
  ): Promise<FileAnswer | undefined> {
    const found = await this.#open(query, turn).catch((error: unknown) => refusal(error));
    if (!("file" in found)) return found;
    const { file, path } = found;
    try {
      const facts = await turn([path], () => file.stat());
      if (!facts.isFile()) return refusal(new FileFailure(400, "This is not a regular file."));
      // Kernel files report size 0 but have content, so they are read to their end.
      const sized = facts.size > 0;
      if (sized) response.setHeader("Content-Length", facts.size);
      response.writeHead(200, { "Content-Type": "application/octet-stream", Connection: "close" });
      await pipeline(contentOf(found, sized ? facts.size : undefined, turn, onProgress), response);
      return undefined;
    } finally {
      await turn([path], () => file.close(), true);
    }
  }

  async #open(query: URLSearchParams, turn: FileTurn): Promise<OpenedFile> {
    const path = await this.#locate(query, locateExisting, turn);
    return { path, file: await turn([path], () => open(path, OPEN_FLAGS)) };
  }

  async #locate(query: URLSearchParams, find: typeof locate, turn: FileTurn): Promise<string> {
    const home = this.#options.home();
    const terminal = query.get("terminal") ?? "";
    const directory = isCanonicalUuid(terminal) ? this.#options.directoryOf(terminal) : undefined;
    const path = query.get("path") ?? "";
    const places = { home, directory: directory ?? home };
    const touched = isAbsolute(path) ? [path] : [home, places.directory, join(places.directory, path)];
    return await turn(touched, () => find(path, places));
  }
}

interface OpenedFile {
  /** Absolute. */
  readonly path: string;
  readonly file: FileHandle;
}

/** @param size Undefined to read to the end, wherever that is. */
async function* contentOf(
  { path, file }: OpenedFile,
  size: number | undefined,
  turn: FileTurn,
  onProgress: () => void,
): AsyncGenerator<Uint8Array> {
  let left = size ?? Number.POSITIVE_INFINITY;
  while (left > 0) {
    const block = Buffer.allocUnsafe(Math.min(left, BLOCK_BYTES));
    const { bytesRead } = await turn([path], () => file.read(block, 0, block.length, null));
    if (bytesRead === 0) return;
    left -= bytesRead;
    onProgress();
    yield block.subarray(0, bytesRead);
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
