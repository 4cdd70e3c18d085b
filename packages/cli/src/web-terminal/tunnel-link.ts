/** Follows the changes of the tunnel: the agent that it leads to, what is shown to the user, and what `coder status` shows. */
import type { ConnectedWorkspace } from "coder-client/connection/connect";
import type { Logger } from "wg-userspace/base/ports";
import type { LinkEvent } from "../connection/lasting-connection.ts";
import { reportConnection } from "../connection/network-info.ts";

export interface TunnelLinkOptions {
  readonly first: ConnectedWorkspace;
  readonly configDir: string;
  readonly say: (text: string) => void;
  readonly logger: Logger;
}

export class TunnelLink {
  readonly #options: TunnelLinkOptions;
  #agentId: string;
  #stopReporting: () => void;

  constructor(options: TunnelLinkOptions) {
    this.#options = options;
    this.#agentId = options.first.agent.id;
    this.#stopReporting = this.#report(options.first.connection);
  }

  get agentId(): string {
    return this.#agentId;
  }

  /** Passes on a connection that replaces the one before. */
  async connected(connecting: Promise<ConnectedWorkspace>): Promise<ConnectedWorkspace> {
    const connected = await connecting;
    this.#agentId = connected.agent.id;
    return connected;
  }

  /** The pages themselves show that an agent is silent. */
  changed(event: LinkEvent): void {
    const { say } = this.#options;
    if (event.kind === "stopped") say("The workspace was stopped; the terminals wait until it is started again");
    if (event.kind === "replaced") say("The workspace was restarted; connecting to its new agent");
    if (event.kind !== "connected") return;
    say("Connected again");
    this.#stopReporting();
    this.#stopReporting = this.#report(event.connection);
  }

  close(): void {
    this.#stopReporting();
  }

  #report(connection: ConnectedWorkspace["connection"]): () => void {
    const { first, configDir, logger } = this.#options;
    return reportConnection({
      connection,
      configDir,
      intervalMs: 5_000,
      workspace: first.workspace.name,
      command: "open terminal",
      logger,
    });
  }
}
