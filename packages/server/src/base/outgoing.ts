/** What this server dials itself: maps that others serve, and its own access URL as a client would. */
import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { Dialer } from "coder-client/dial/dialer";
import { textOf } from "./text-of.ts";

const MAX_REDIRECTS = 5;

/** Dials others: through the proxy of the environment, trusting what the machine trusts. */
export function dialerToOthers(): Dialer {
  return new Dialer();
}

/**
 * Dials the access URL and relays, as clients do but without a proxy. Trusts the server's own certificates besides: clients
 * that are configured to trust them reach it as well. They are read each time, since they may have been renewed.
 */
export function dialerToOurselves(certFiles: readonly string[]): Dialer {
  const own = certFiles.map(readIfThere).join("\n");
  return new Dialer({ proxyFor: () => "", tls: own.trim() === "" ? undefined : { ca: own } });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the listener has it in memory; the check then says what is wrong
  }
}

export interface FetchedText {
  readonly status: number;
  readonly text: string;
}

/**
 * One GET. Rejects with the network's error, `signal.reason`, or an Error when the body is longer than `maxBytes`.
 * @param redirects Followed at most; 0: the redirect itself is the answer.
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
