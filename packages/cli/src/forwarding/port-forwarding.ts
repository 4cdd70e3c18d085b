/** Runs all forwards of `coder port-forward` over one lasting connection and reports what happens to them. */

import type { Duplex } from "node:stream";
import { formatDuration } from "coder-client/diagnosis/durations";
import type { Deployment } from "coder-client/rest/deployment";
import type { WorkspaceRef } from "coder-client/rest/workspaces";
import { SSH_PORT } from "coder-protocol/tunnel-ports";
import { orAborted } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import type { Logger } from "wg-userspace/base/ports";
import { listeningPorts } from "../connection/agent-api.ts";
import type { LastingConnection, LinkEvent } from "../connection/lasting-connection.ts";
import { reportConnection } from "../connection/network-info.ts";
import { dialThrough, SshLink } from "../connection/ssh-client.ts";
import { reportUsage } from "../connection/usage.ts";
import { AutoForwards } from "./auto-forwards.ts";
import { ForwardPlaces } from "./forward-places.ts";
import { ReverseForwards } from "./reverse-forwards.ts";
import { type ForwardSpec, type ForwardTarget, formatEnd } from "./spec.ts";
import { TcpForward } from "./tcp-forward.ts";
import { UdpForward } from "./udp-forward.ts";

export interface PortForwardingOptions {
  readonly forwards: readonly ForwardSpec[];
  readonly reverse: readonly ForwardSpec[];
  readonly auto: boolean;
  readonly workspace: WorkspaceRef;
  readonly configDir: string;
  readonly deployment: Deployment;
  readonly say: (line: string) => void;
  readonly logger: Logger;
}

export class PortForwarding {
  readonly #options: PortForwardingOptions;
  readonly #tcp: TcpForward[] = [];
  readonly #udp: UdpForward[] = [];
  readonly #links: SshLink[] = [];
  readonly #places = new ForwardPlaces();
  #stopReporting: () => void = () => undefined;
  #auto: AutoForwards | undefined;

  constructor(options: PortForwardingOptions) {
    this.#options = options;
  }

  /** Listens, reports what leads where, and runs until aborted or until the workspace is gone for good. */
  async run(lasting: LastingConnection, signal: AbortSignal): Promise<void> {
    const { forwards, reverse, auto, say, logger, deployment, workspace } = this.#options;
    const dialSsh = async (until: AbortSignal): Promise<Duplex> =>
      (await lasting.connection(until)).dial(SSH_PORT, { signal: until });
    const hosts = new SshLink(dialSsh);
    const dial = async (target: ForwardTarget, until: AbortSignal): Promise<Duplex> => {
      const stream =
        target.host === undefined
          ? (await lasting.connection(until)).dial(target.port, { signal: until })
          : dialThrough(await hosts.client(until), target.host, target.port);
      return stream.catch((error: unknown) => {
        throw isRefused(error) ? new Error("nothing listens there") : error;
      });
    };
    this.#links.push(hosts);
    for (const spec of forwards) await this.#listen(spec, lasting, dial);
    if (reverse.length > 0) {
      const link = new SshLink(dialSsh);
      this.#links.push(link);
      await new ReverseForwards({ specs: reverse, link, say, logger }).start(signal);
      for (const { bind, port, target } of reverse) {
        const from = formatEnd("tcp", bind ?? "127.0.0.1", port);
        say(
          `Forwarding ${from} in the workspace to ${formatEnd("tcp", target.host ?? "127.0.0.1", target.port)} locally`,
        );
      }
    }
    this.#stopReporting = this.#report(lasting);
    const running: Promise<unknown>[] = [
      lasting.failed,
      reportUsage({ deployment, workspaceId: workspace.id, logger, isUsed: () => this.#inUse }, signal),
    ];
    if (auto) {
      this.#auto = new AutoForwards({
        workspace: workspace.name,
        taken: new Set(
          forwards
            .filter(({ protocol, target }) => protocol === "tcp" && target.host === undefined)
            .map(({ target }) => target.port),
        ),
        list: async (until) => {
          const limit = AbortSignal.any([until, AbortSignal.timeout(20_000)]);
          return listeningPorts(await lasting.connection(limit), limit);
        },
        dial,
        places: this.#places,
        say,
        logger,
      });
      running.push(this.#auto.run(signal));
    }
    say("Ready!");
    if (auto) say("Ports that programs of the workspace open will appear here");
    await orAborted(Promise.race([Promise.all(running), lasting.failed]), signal);
  }

  /** Reports changes of the connection to the workspace. */
  linkChanged(event: LinkEvent): void {
    const { say } = this.#options;
    switch (event.kind) {
      case "silent":
        say(`No answer from the workspace for ${formatSeconds(event.forMs)}; connections wait until it is back`);
        return;
      case "heard":
        say(`The workspace answers again, after ${formatSeconds(event.afterMs)}`);
        return;
      case "stopped":
        say("The workspace was stopped; the forwards wait until it is started again");
        return;
      case "replaced":
        say("The workspace was restarted; its old connections are closed, connecting to its new agent");
        for (const forward of this.#udp) forward.endFlows();
        for (const link of this.#links) link.close();
        return;
      case "connected":
        say("Connected again, the forwards go on");
    }
  }

  close(): void {
    this.#stopReporting();
    for (const forward of [...this.#tcp, ...this.#udp]) forward.close();
    for (const link of this.#links) link.close();
  }

  get #inUse(): boolean {
    return [...this.#tcp, ...this.#udp, ...(this.#auto === undefined ? [] : [this.#auto])].some(
      ({ openConnections }) => openConnections > 0,
    );
  }

  async #listen(
    spec: ForwardSpec,
    lasting: LastingConnection,
    dial: (target: ForwardTarget, signal: AbortSignal) => Promise<Duplex>,
  ): Promise<void> {
    const { say, logger } = this.#options;
    let hosts: readonly string[];
    if (spec.protocol === "tcp") {
      const forward = new TcpForward({ spec, dial, say, logger, places: this.#places });
      await forward.start();
      this.#tcp.push(forward);
      hosts = forward.hosts;
    } else {
      const forward = new UdpForward({
        spec,
        open: (port, handler) => lasting.current?.openUdp(port, handler),
        say,
        logger,
      });
      await forward.start();
      this.#udp.push(forward);
      hosts = forward.hosts;
    }
    const to = formatEnd(spec.protocol, spec.target.host ?? "127.0.0.1", spec.target.port);
    for (const host of hosts)
      say(`Forwarding ${formatEnd(spec.protocol, host, spec.port)} locally to ${to} in the workspace`);
  }

  /** Keeps the status file on the present connection. */
  #report(lasting: LastingConnection): () => void {
    let stop: () => void = () => undefined;
    let reported = lasting.current;
    const start = (): void => {
      stop();
      reported = lasting.current;
      stop =
        reported === undefined
          ? () => undefined
          : reportConnection({
              connection: reported,
              configDir: this.#options.configDir,
              intervalMs: 5_000,
              workspace: this.#options.workspace.name,
              command: "port-forward",
              logger: this.#options.logger,
            });
    };
    start();
    const timer = setInterval(() => {
      if (lasting.current !== reported) start();
    }, 1_000);
    timer.unref();
    return () => {
      clearInterval(timer);
      stop();
    };
  }
}

function isRefused(error: unknown): boolean {
  if (error instanceof EngineError)
    return error.code === "ERR_CONNECTION_REFUSED" || error.code === "ERR_CONNECTION_RESET";
  return error instanceof Error && /ECONNREFUSED/.test(error.message);
}

function formatSeconds(ms: number): string {
  return formatDuration(Math.round(ms / 1000) * 1000);
}
