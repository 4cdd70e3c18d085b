/** Requests for apps, at hosts of their own or at paths of the server's host, at a deployment and at a workspace proxy alike. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type Wildcard, wildcardLabel } from "../base/wildcard.ts";
import type { AppHost } from "./app-host.ts";
import type { PathHost } from "./path-host.ts";
import { parseAppPath } from "./path-names.ts";
import { offersWebSocket } from "./send-answer.ts";

export interface AppHandlers {
  /** Undefined if apps have no hosts of their own. */
  readonly hosts: { readonly wildcard: Wildcard; readonly handler: AppHost } | undefined;
  readonly paths: PathHost;
}

export class AppRouting {
  readonly #hosts: AppHandlers["hosts"];
  readonly #paths: PathHost;

  constructor({ hosts, paths }: AppHandlers) {
    this.#hosts = hosts;
    this.#paths = paths;
  }

  /** Whether a host, in lower case and without a port, is an app host. */
  isAppHost(hostname: string): boolean {
    return this.#hosts !== undefined && wildcardLabel(this.#hosts.wildcard, hostname) !== undefined;
  }

  /** Whether a request target, as received, is for an app below a path. */
  isAppPath(target: string): boolean {
    return parseAppPath(target) !== undefined;
  }

  /** @param hostname Undefined for an app at a path of the server's own host. */
  async request(request: IncomingMessage, response: ServerResponse, hostname: string | undefined): Promise<void> {
    if (hostname === undefined) await this.#paths.request(request, response);
    else await this.#hosts?.handler.request(request, response, hostname);
  }

  upgrades(request: IncomingMessage): boolean {
    return offersWebSocket(request);
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, hostname: string | undefined): Promise<void> {
    if (hostname === undefined) await this.#paths.upgrade(request, socket, head);
    else await this.#hosts?.handler.upgrade(request, socket, head, hostname);
  }
}
