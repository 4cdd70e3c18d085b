/** The terminals of the local page: WebSockets, each joined with a terminal of the agent through the tunnel of this command. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { DomainError } from "coder-server/base/domain-error";
import { OpenStreams } from "coder-server/base/open-streams";
import { readPtyQuery } from "coder-server/http/terminals/pty-query";
import { TerminalOwners } from "coder-server/http/terminals/terminal-owners";
import {
  TERMINAL_PATH,
  TerminalSockets,
  type TerminalSocketsOptions,
} from "coder-server/http/terminals/terminal-sockets";

export interface LocalTerminalsOptions extends Omit<TerminalSocketsOptions, "streams"> {
  readonly user: { readonly id: string; readonly username: string };
  /** The agent that the tunnel leads to now. */
  readonly agentId: () => string;
}

export class LocalTerminals {
  readonly #options: LocalTerminalsOptions;
  readonly #streams = new OpenStreams();
  readonly #sockets: TerminalSockets;
  readonly #owners = new TerminalOwners();
  /** One callback for each open terminal. */
  readonly #ends = new Set<(reason: string) => void>();

  constructor(options: LocalTerminalsOptions) {
    this.#options = options;
    this.#sockets = new TerminalSockets({ ...options, streams: this.#streams });
  }

  /** Completes the upgrade. Throws DomainError. */
  open(request: IncomingMessage, socket: Duplex, head: Buffer, url: URL): void {
    const { user } = this.#options;
    const agentId = (TERMINAL_PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
    if (agentId !== this.#options.agentId()) throw new DomainError("not-found", "There is no such terminal here");
    const query = readPtyQuery(url.searchParams);
    this.#sockets.open(request, socket, head, {
      query,
      user,
      request: { agentId, keyId: "", token: "" },
      fresh: this.#owners.claim(agentId, query.id, user.id) === "new",
      watch: (end) => {
        this.#ends.add(end);
        return () => this.#ends.delete(end);
      },
    });
  }

  /** The right to the workspace has ended: the pages do not connect again. */
  endAccess(reason: string): void {
    for (const end of [...this.#ends]) end(reason);
  }

  /** The command ends: programs run on in the workspace. */
  close(): void {
    this.#streams.endAll();
  }
}
