import { createReadStream } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import type { Catalogue, OpenFile, OpenProgram } from "./catalogue.ts";
import { type ContentCoding, chooseCoding, matchesTag, parseRange } from "./range.ts";

/** Small enough that other work of the process runs between two chunks. */
const CHUNK_BYTES = 64 * 1024;
/**
 * Compression uses threads of the pool that file access and name resolution need as well. Further downloads get the file
 * uncompressed.
 */
const MAX_COMPRESSIONS = 2;
/** A client that reads nothing for this long is disconnected. */
const STALL_MS = 60_000;
/** Time limit of a whole download; sufficient at 50 kbit/s. */
const WHOLE_MS = 6 * 3_600_000;

const SUFFIXES = { gzip: ".gz", zstd: ".zst" } as const;
/** Node 22.13 does not support zstd. */
const OFFERED: readonly (keyof typeof SUFFIXES)[] =
  typeof zlib.createZstdCompress === "function" ? ["zstd", "gzip"] : ["gzip"];

let compressions = 0;

/**
 * Answers with an executable from disk and closes the file. As with stock servers, the entity tag is the SHA-1 of the executable
 * itself in every coding. Ranges are served only from the plain file and only to clients that accept no coding, so that no client
 * joins parts of two codings.
 */
export async function sendProgram(
  request: IncomingMessage,
  response: ServerResponse,
  name: string,
  program: OpenProgram,
  catalogue: Catalogue,
): Promise<void> {
  let sidecar: OpenFile | undefined;
  try {
    const tag = `"${program.hashes.sha1}"`;
    response.setHeader("ETag", tag);
    response.setHeader("Vary", "Accept-Encoding");
    response.setHeader("Cache-Control", "no-cache");
    if (matchesTag(request.headers["if-none-match"], tag)) {
      response.writeHead(304).end();
      return;
    }
    response.setHeader("Content-Type", "application/octet-stream");
    response.setHeader("Content-Disposition", `attachment; filename="${name}"`);
    // Editors use this to show progress, because the length of a compressed answer does not help them.
    response.setHeader("X-Original-Content-Length", program.size);
    let coding = chooseCoding(request.headers["accept-encoding"]?.toString(), OFFERED);
    if (coding !== "identity") {
      sidecar = await catalogue.openCompressed(program, SUFFIXES[coding]);
      if (sidecar === undefined && compressions >= MAX_COMPRESSIONS) coding = "identity";
    } else {
      response.setHeader("Accept-Ranges", "bytes");
      if (sendsPart(request, tag) && (await sendPart(request, response, program))) return;
    }
    await sendWhole(request, response, program, coding, sidecar);
  } finally {
    await program.handle.close();
    await sidecar?.handle.close();
  }
}

/** RFC 9110 §13.1.5: if If-Range has another tag, the client's part belongs to another file. */
function sendsPart(request: IncomingMessage, tag: string): boolean {
  const condition = request.headers["if-range"];
  return request.method === "GET" && (condition === undefined || condition === tag);
}

async function sendPart(request: IncomingMessage, response: ServerResponse, program: OpenFile): Promise<boolean> {
  const range = parseRange(request.headers.range, program.size);
  if (range.kind === "whole") return false;
  if (range.kind === "unsatisfiable") {
    response.removeHeader("Content-Disposition");
    response.writeHead(416, { "Content-Range": `bytes */${program.size}`, "Content-Length": 0 }).end();
    return true;
  }
  const { start, end } = range;
  response.writeHead(206, {
    "Content-Range": `bytes ${start}-${end}/${program.size}`,
    "Content-Length": end - start + 1,
  });
  await stream(response, program, start, end);
  return true;
}

async function sendWhole(
  request: IncomingMessage,
  response: ServerResponse,
  program: OpenFile,
  coding: Exclude<ContentCoding, "br">,
  sidecar: OpenFile | undefined,
): Promise<void> {
  const file = sidecar ?? program;
  const compressed = coding !== "identity" && sidecar === undefined;
  if (coding !== "identity") response.setHeader("Content-Encoding", coding);
  if (!compressed) response.setHeader("Content-Length", file.size);
  response.writeHead(200);
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  if (!compressed) return stream(response, file, 0, file.size - 1);
  compressions++;
  try {
    await stream(response, file, 0, file.size - 1, compressor(coding));
  } finally {
    compressions--;
  }
}

/** Fast rather than small, because the disk and the network wait for it. */
function compressor(coding: "gzip" | "zstd"): Transform {
  return coding === "gzip"
    ? zlib.createGzip({ level: 4, chunkSize: CHUNK_BYTES })
    : zlib.createZstdCompress({ chunkSize: CHUNK_BYTES });
}

/**
 * Sends the bytes. If the client leaves or stalls, or the file is truncated meanwhile, the connection is destroyed, so that a
 * part is never mistaken for the whole.
 */
async function stream(
  response: ServerResponse,
  file: OpenFile,
  start: number,
  end: number,
  through?: Transform,
): Promise<void> {
  const wanted = end - start + 1;
  if (wanted <= 0) {
    response.end();
    return;
  }
  const source = createReadStream("", { fd: file.handle, start, end, highWaterMark: CHUNK_BYTES, autoClose: false });
  const late = setTimeout(() => response.destroy(), WHOLE_MS);
  late.unref();
  response.setTimeout(STALL_MS, () => response.destroy());
  try {
    await pipeline(through === undefined ? [source, response] : [source, through, response], { end: false });
    if (source.bytesRead < wanted) throw new Error("the file became shorter while it was sent");
    response.end();
  } catch (error) {
    const left = response.destroyed;
    response.destroy();
    if (!left) throw error;
  } finally {
    clearTimeout(late);
  }
}
