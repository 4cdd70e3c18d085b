import type { IncomingMessage, ServerResponse } from "node:http";
import { chooseCoding, matchesTag } from "../../downloads/range.ts";
import type { Asset } from "./build-output.ts";

const IMMUTABLE = "public, max-age=31536000, immutable";
const PREFERENCE = ["br", "gzip"] as const;

/** Answers a GET or HEAD with the smallest form that the client accepts. `named` means that the file name contains a hash. */
export function sendAsset(
  request: IncomingMessage,
  response: ServerResponse,
  asset: Asset,
  { named, policy }: { readonly named: boolean; readonly policy: string },
): void {
  const offered = PREFERENCE.filter((one) => asset.forms.has(one));
  const encoding = chooseCoding(request.headers["accept-encoding"]?.toString(), offered);
  const bytes = asset.forms.get(encoding);
  if (bytes === undefined) throw new Error(`an asset has no ${encoding} form`);
  const tag = `"${asset.hash}-${encoding}"`;
  const headers: Record<string, string | number> = {
    "Content-Type": asset.type,
    "Content-Security-Policy": policy,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": named ? IMMUTABLE : "no-cache",
    ETag: tag,
    Vary: "Accept-Encoding",
  };
  if (matchesTag(request.headers["if-none-match"], tag)) {
    response.writeHead(304, headers).end();
    return;
  }
  if (encoding !== "identity") headers["Content-Encoding"] = encoding;
  headers["Content-Length"] = bytes.length;
  response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : bytes);
}
