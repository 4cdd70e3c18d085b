/** Follows the ports on which programs in the workspace listen: each gets a forward while it is open. */
import { sleep } from "coder-client/base/backoff";
import type { Logger } from "wg-userspace/base/ports";
import type { ListeningPort } from "../connection/agent-api.ts";
import { UserError } from "../errors/user-error.ts";
import { TcpForward, type TcpForwardOptions } from "./tcp-forward.ts";

const POLL_MS = 2_000;
/** A port counts as closed once it is missing from this many answers in a row, so servers that restart keep their forward. */
const MISSING_LIMIT = 2;
const MAX_FORWARDS = 256;

export interface AutoForwardsOptions extends Pick<TcpForwardOptions, "dial" | "say" | "logger" | "places"> {
  /** Names the workspace in addresses. */
  readonly workspace: string;
  readonly list: (signal: AbortSignal) => Promise<readonly ListeningPort[]>;
  /** Ports of the workspace that have a forward already. */
  readonly taken: ReadonlySet<number>;
  readonly logger: Logger;
}

interface Followed {
  readonly forward: TcpForward;
  missing: number;
}

export class AutoForwards {
  readonly #options: AutoForwardsOptions;
  readonly #followed = new Map<number, Followed>();
  readonly #refused = new Set<number>();
  /** Local ports of forwards that the previous pass closed. */
  readonly #closing = new Set<number>();
  #reportedFailure = false;

  constructor(options: AutoForwardsOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    let open = 0;
    for (const { forward } of this.#followed.values()) open += forward.openConnections;
    return open;
  }

  /** Lists the ports every two seconds until aborted, then closes the forwards it opened. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look(signal);
        this.#reportedFailure = false;
      } catch (error) {
        if (signal.aborted) break;
        if (!this.#reportedFailure)
          this.#options.say(`The workspace does not say which ports it listens on: ${(error as Error).message}`);
        this.#reportedFailure = true;
      }
      await sleep(POLL_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
    for (const { forward } of this.#followed.values()) forward.close();
    this.#followed.clear();
  }

  /** One pass. */
  async look(signal: AbortSignal): Promise<void> {
    const listed = await this.#options.list(signal);
    const ports = new Map(listed.map(({ port, processName }) => [port, processName]));
    // When client and workspace are one machine, the list contains our own listeners, including those just closed: it may be a
    // second old.
    const ours = new Set([...this.#closing, ...[...this.#followed.values()].map(({ forward }) => forward.port)]);
    this.#closing.clear();
    for (const [port, entry] of this.#followed) {
      entry.missing = ports.has(port) ? 0 : entry.missing + 1;
      if (entry.missing < MISSING_LIMIT) continue;
      this.#closing.add(entry.forward.port);
      entry.forward.close();
      this.#followed.delete(port);
      this.#options.say(`Port ${port} of the workspace is closed`);
    }
    for (const port of this.#refused) if (!ports.has(port)) this.#refused.delete(port);
    for (const [port, processName] of ports) {
      if (this.#followed.has(port) || this.#refused.has(port) || this.#options.taken.has(port) || ours.has(port))
        continue;
      if (this.#followed.size >= MAX_FORWARDS) break;
      await this.#follow(port, processName);
    }
  }

  async #follow(port: number, processName: string): Promise<void> {
    const { dial, say, logger, places, workspace } = this.#options;
    const target = { port };
    let forward = new TcpForward({ spec: { protocol: "tcp", port, target }, dial, say, logger, places });
    try {
      await forward.start().catch(async () => {
        // The port is taken on this machine or needs privileges, so use any other; the announced address names it.
        forward = new TcpForward({
          spec: { protocol: "tcp", bind: "127.0.0.1", port: 0, target },
          dial,
          say,
          logger,
          places,
        });
        await forward.start();
      });
    } catch (error) {
      this.#refused.add(port);
      say(
        `Port ${port} of the workspace is not forwarded: ${error instanceof UserError ? (error.why ?? error.message) : String(error)}`,
      );
      return;
    }
    this.#followed.set(port, { forward, missing: 0 });
    const program = processName === "" ? "" : ` (${processName})`;
    say(`Port ${port} of the workspace${program} is http://${port}.${workspace}.localhost:${forward.port}`);
  }
}
