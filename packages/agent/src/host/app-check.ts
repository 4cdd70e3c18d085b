/** Checks once whether a program on this machine serves. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { parseLocalAddress } from "coder-protocol/app-addresses";

const SERVER_ERROR = 500;

/** Whether a GET is answered other than by a server error. Only addresses of this machine are requested. Never rejects. */
export function isServing(url: string, signal: AbortSignal): Promise<boolean> {
  const address = parseLocalAddress(url);
  if ("error" in address || signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const begin = address.secure ? httpsRequest : httpRequest;
    // Programs use self-signed certificates, and a redirect may lead to an address that was not declared.
    const request = begin(url, { signal, agent: false, rejectUnauthorized: false }, (response) => {
      response.on("error", () => undefined); // cut off on purpose
      resolve((response.statusCode ?? SERVER_ERROR) < SERVER_ERROR);
      request.destroy();
    });
    request.on("error", () => resolve(false));
    request.end();
  });
}
