import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { RequestRoute } from "../../base/routes.ts";
import { type Catalogue, FileChanged } from "../../downloads/catalogue.ts";
import { type DownloadName, parseDownloadPath, programFile } from "../../downloads/names.ts";
import { matchesTag } from "../../downloads/range.ts";
import { sendProgram } from "../../downloads/send-program.ts";
import { failureOf, HttpFailure } from "../failure.ts";

export interface DownloadsOptions {
  readonly catalogue: Catalogue;
  /** Concurrent downloads. */
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
}

/** `/bin/`: the command for other machines, its signatures and the list of checksums. Needs no login, as with stock servers. */
export function downloadRoute(options: DownloadsOptions): RequestRoute {
  const places = new Places("downloads", options.limits);
  return {
    name: "downloads",
    match: (url) => url.pathname === "/bin" || url.pathname.startsWith("/bin/"),
    handle: async (request, response) => {
      try {
        await handle(request, response, options, places);
      } catch (error) {
        const failure = failureOf(error);
        if (failure === undefined || response.headersSent) throw error;
        const text = JSON.stringify(failure.body);
        response
          .writeHead(failure.status, {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": Buffer.byteLength(text),
            "Cache-Control": "no-store",
            ...failure.headers,
          })
          .end(request.method === "HEAD" ? undefined : text);
      }
    },
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { catalogue, clientAddress }: DownloadsOptions,
  places: Places,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new HttpFailure(405, "Only GET and HEAD are served here.", { headers: { Allow: "GET, HEAD" } });
  }
  const name = parseDownloadPath(new URL(`http://unused${request.url ?? "/"}`).pathname);
  if (name === undefined) throw await missing(undefined, catalogue);
  places.takeUntilClosed({ address: clientAddress(request) }, response);
  if (name.kind !== "program") {
    const text = name.kind === "sums" ? await orBusy(catalogue.sums()) : await catalogue.signature(name);
    if (text === undefined) throw await missing(name, catalogue);
    sendText(request, response, text, name);
    return;
  }
  const program = await orBusy(catalogue.openProgram(name.platform));
  if (program === undefined) throw await missing(name, catalogue);
  await sendProgram(request, response, name.file, program, catalogue);
}

/** Answers 503 while a file is being replaced by a new one, which will be complete shortly. */
async function orBusy<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof FileChanged)) throw error;
    throw new HttpFailure(503, "The file is being replaced.", { headers: { "Retry-After": "5" } });
  }
}

async function missing(name: DownloadName | undefined, catalogue: Catalogue): Promise<HttpFailure> {
  const there = await catalogue.available();
  const has = there.length === 0 ? "This deployment has none." : `This deployment has: ${there.join(", ")}.`;
  if (name === undefined) {
    return new HttpFailure(404, "No such download.", {
      detail: `Downloads are /bin/coder-<os>-<arch>, with .exe for windows, the same with .asc, and /bin/SHA256SUMS. ${has}`,
    });
  }
  const folder =
    "An administrator can add it: put it into the folder that the server's --binaries-dir (CODER_BINARIES_DIR) names";
  if (name.kind === "sums") {
    return new HttpFailure(404, "This deployment provides no coder command.", { detail: `${folder}.` });
  }
  const what = programFile(name.platform);
  if (name.kind === "signature" && there.includes(what)) {
    return new HttpFailure(404, `There is no signature of ${what} here.`, { detail: `${folder}, as ${name.file}.` });
  }
  return new HttpFailure(
    404,
    `This deployment has no coder for ${name.platform.system}/${name.platform.architecture}.`,
    {
      detail: `${folder}, as ${what}. ${has}`,
    },
  );
}

function sendText(request: IncomingMessage, response: ServerResponse, text: Buffer, name: DownloadName): void {
  const tag = `"${createHash("sha1").update(text).digest("hex")}"`;
  response.setHeader("ETag", tag);
  response.setHeader("Cache-Control", "no-cache");
  if (matchesTag(request.headers["if-none-match"], tag)) {
    response.writeHead(304).end();
    return;
  }
  const type = name.kind === "sums" ? "text/plain; charset=utf-8" : "application/pgp-signature";
  response
    .writeHead(200, { "Content-Type": type, "Content-Length": text.length })
    .end(request.method === "HEAD" ? undefined : text);
}
