/**
 * Links from a workspace proxy's relay to the relays of the same proxy's other processes, with the mesh key from the
 * registration.
 */
import type { Dialer } from "coder-client/dial/dialer";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { Logger } from "../base/log.ts";
import type { RelayListener } from "../relay/relay-listener.ts";
import { RelayMesh, type Sibling, type SiblingAddresses } from "../relay/relay-mesh.ts";
import type { SiblingCounts } from "./report.ts";

/** The maximum that a registration accepts. */
const MAX_PROBLEM_LENGTH = 4_096;

export interface SiblingLinksOptions {
  readonly relay: Pick<RelayListener, "mesh" | "setMeshKey">;
  /** The relay's private key. */
  readonly privateKey: Uint8Array;
  readonly dialer: Dialer;
  readonly addresses: SiblingAddresses;
  readonly log: Logger;
}

export class SiblingLinks {
  readonly #options: SiblingLinksOptions;
  readonly #ending = new Set<Promise<void>>();
  #mesh: RelayMesh | undefined;

  constructor(options: SiblingLinksOptions) {
    this.#options = options;
  }

  /** @param meshKey "" for no mesh. Links that were opened with another key end. */
  update(meshKey: string, siblings: readonly Sibling[]): void {
    if (this.#options.relay.setMeshKey(meshKey)) {
      this.#end();
      if (meshKey !== "") this.#mesh = this.#newMesh(meshKey);
    }
    this.#mesh?.update(siblings);
  }

  /** What is wrong with the links; "" if nothing. The text names hosts, so it is only for the primary. */
  problem(): string {
    return (this.#mesh?.problem() ?? "").slice(0, MAX_PROBLEM_LENGTH);
  }

  counts(): SiblingCounts {
    const all = this.#mesh?.status() ?? [];
    const failed = all.filter(({ state, error }) => state !== "up" && error !== undefined);
    return { all: all.length, failed: failed.length };
  }

  async close(): Promise<void> {
    this.#end();
    await Promise.all(this.#ending);
  }

  #newMesh(meshKey: string): RelayMesh {
    const { relay, privateKey, dialer, addresses, log } = this.#options;
    return new RelayMesh({
      relay: relay.mesh,
      privateKey,
      meshKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      dialer,
      addresses,
      logger: { level: "info", log: (level, message, fields = {}) => log[level](fields, message) },
    });
  }

  #end(): void {
    if (this.#mesh === undefined) return;
    const ended = this.#mesh.close().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
    this.#mesh = undefined;
  }
}
