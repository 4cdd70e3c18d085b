/** Asks a server on this machine whether it serves, as the health check of a container does. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { UserError } from "../errors/user-error.ts";

const LIMIT_MS = 5_000;

export interface HealthTarget {
  readonly secure: boolean;
  /** The server's listen address; "" and wildcard addresses are reached over loopback. */
  readonly host: string;
  readonly port: number;
}

/** Throws a UserError unless the server answers that it is healthy. */
export async function askHealth({ secure, host, port }: HealthTarget, signal: AbortSignal): Promise<string> {
  const address = host === "" || host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  const url = `${secure ? "https" : "http"}://${address.includes(":") ? `[${address}]` : address}:${port}/healthz`;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
  try {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      // Health does not depend on whose certificate it is.
      const request = secure
        ? requestHttps(url, { signal: limit, rejectUnauthorized: false })
        : requestHttp(url, { signal: limit });
      request.on("response", (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
      request.end();
    });
    if (status === 200) return url;
    throw new UserError(`The server at ${url} is not healthy`, {
      why: `it answered ${status}`,
      code: "ERR_SERVER_UNHEALTHY",
    });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UserError) throw error;
    throw new UserError(`No server answers at ${url}`, {
      why: limit.aborted ? `nothing came in ${LIMIT_MS / 1000} s` : (error as Error).message,
      next: ["start it, or give the address that it listens on by --http-address or --tls-address"],
      code: "ERR_NO_SERVER",
      cause: error,
    });
  }
}
