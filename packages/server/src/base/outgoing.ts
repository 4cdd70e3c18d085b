/** Connections that this server dials: to others for their relay maps, and to its own access URL as a client would. */
import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { Dialer } from "coder-client/dial/dialer";
import { textOf } from "./text-of.ts";

const MAX_REDIRECTS = 5;

/** Dials other servers: through the proxy that the environment names, trusting what the machine trusts. */
export function dialerToOthers(): Dialer {
  return new Dialer();
}

/**
 * Dials the access URL and relays as clients do, but without a proxy. Also trusts the server's own certificates, because clients
 * may be configured to trust them. The files are read each time, since certificates may have been renewed.
 */
export function dialerToOurselves(certFiles: readonly string[]): Dialer {
  const own = certFiles.map(readIfThere).join("\n");
  return new Dialer({ proxyFor: () => "", tls: own.trim() === "" ? undefined : { ca: own } });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // The listener has the certificate in memory; the check will report what is wrong.
  }
}

export interface FetchedText {
  readonly status: number;
  readonly text: string;
}

/**
 * Sends one GET. Rejects with the network's error, `signal.reason`, or an Error if the body is longer than `maxBytes`.
 * @param redirects The number of redirects to follow; with 0, the redirect itself is the answer.
 */
export async function fetchText(
  dialer: Pick<Dialer, "agentFor">,
  url: URL,
  options: { readonly maxBytes: number; readonly signal: AbortSignal; readonly redirects?: number },
): Promise<FetchedText> {
  let at = url;
  for (let left = Math.min(options.redirects ?? 0, MAX_REDIRECTS); ; left--) {
    const response = await answerOf(dialer, at, options.signal);
    const { statusCode: status = 0, headers } = response;
    const isRedirect = status >= 300 && status < 400 && headers.location !== undefined;
    if (!isRedirect || left <= 0) return { status, text: await textOf(response, options.maxBytes) };
    response.destroy();
    const next = new URL(headers.location!, at);
    if (next.protocol !== "https:" && next.protocol !== at.protocol)
      throw new Error(`it redirects to ${next.protocol}`);
    at = next;
  }
}

function answerOf(dialer: Pick<Dialer, "agentFor">, url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      { headers: { Accept: "application/json" }, agent: dialer.agentFor(url), signal },
      resolve,
    );
    request.on("error", reject);
    request.end();
  });
}
