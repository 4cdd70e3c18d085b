import type { Dialer } from "coder-client/dial/dialer";
import type { Logger } from "wg-userspace/base/ports";

/** Settings of one agent process. */
export interface AgentOptions {
  /** Deployment to connect to. */
  readonly url: URL;
  /** The agent's token, a UUID. */
  readonly token: string;
  readonly extraHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
  /**
   * How to reach the deployment and its relays: authorities, client certificate, proxy. Taken from the environment when absent.
   */
  readonly dialer?: Dialer | undefined;
  /** UDP port of the tunnel; chosen by the system when absent or 0. */
  readonly listenPort?: number | undefined;
  /** How long a session outlives a client that does not answer, in ms. */
  readonly sshMaxTimeoutMs: number;
  /** A client that vanished without a disconnect counts as gone after this long without a packet, in ms; default: 2 min. */
  readonly goneAfterMs?: number | undefined;
  readonly blockFileTransfer: boolean;
  /** Directory for the output of scripts; default: the system's directory for temporary files. */
  readonly logDirectory?: string | undefined;
  /** Host addresses, `host:port`, at which debug pages and metrics are served besides the tunnel; none when absent. */
  readonly debugAddress?: string | undefined;
  readonly prometheusAddress?: string | undefined;
  /** Apps that this machine declares, in the API's form, and a file with further ones, which is followed. */
  readonly apps?: readonly object[] | undefined;
  readonly appsFile?: string | undefined;
  /** Holds the lasting identity, which is made where there is none; absent: the agent has no identity. */
  readonly identityFile?: string | undefined;
  readonly logger: Logger;
  readonly version: string;
}
