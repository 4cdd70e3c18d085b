/** The relay of a workspace proxy: the primary decides which clients it admits and with which siblings it is linked. */
import type { Dialer } from "coder-client/dial/dialer";
import type { Deployment } from "coder-client/rest/deployment";
import type { RegisterProxyResponse } from "coder-protocol/rest/workspace-proxies";
import { clampPrivateKey } from "wg-userspace/base/keys";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { Logger } from "../base/log.ts";
import type { clientAddressReader } from "../http/client-address.ts";
import { RelayListener } from "../relay/relay-listener.ts";
import { SiblingAddresses } from "../relay/relay-mesh.ts";
import { RelayKeyStream } from "./relay-key-stream.ts";
import { type AdmissionState, type KeyChanges, RelayKeys } from "./relay-keys.ts";
import type { SiblingCounts } from "./report.ts";
import { SiblingLinks } from "./sibling-links.ts";

export interface ProxyRelayOptions {
  readonly deployment: Deployment;
  readonly dialer: Dialer;
  readonly clientAddress: ReturnType<typeof clientAddressReader>;
  /** How long clients stay that the first message of a new stream of relay keys does not name. */
  readonly keyGraceMs: number | undefined;
  /** The primary refused the token for the stream of keys. */
  readonly onTokenRefused: () => void;
  readonly log: Logger;
}

export class ProxyRelay {
  readonly listener: RelayListener;
  readonly #options: ProxyRelayOptions;
  readonly #keys: RelayKeys;
  readonly #links: SiblingLinks;
  #stream: RelayKeyStream | undefined;

  constructor(options: ProxyRelayOptions) {
    const { dialer, clientAddress, keyGraceMs, log } = options;
    this.#options = options;
    this.#keys = new RelayKeys({ graceMs: keyGraceMs });
    const addresses = new SiblingAddresses();
    const privateKey = clampPrivateKey(nodeRandom.bytes(32));
    const connected = (key: Uint8Array): boolean => this.listener.isConnected(key);
    this.listener = new RelayListener({
      privateKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      admit: (key) => this.#keys.admits(key, connected, monotonicNow()),
      // Clients may reach the relay before their keys do.
      holdUnknown: true,
      isSibling: (address) => addresses.has(address),
      addressOf: clientAddress,
    });
    this.#links = new SiblingLinks({ relay: this.listener, privateKey, dialer, addresses, log });
  }

  /** The known keys. */
  get keys(): Pick<RelayKeys, "size" | "ageMs"> {
    return this.#keys;
  }

  get admission(): AdmissionState {
    return this.#keys.state(monotonicNow());
  }

  /** Why there is no stream of relay keys; undefined if there is one. */
  get streamProblem(): string | undefined {
    return this.#stream?.problem;
  }

  siblings(): SiblingCounts {
    return this.#links.counts();
  }

  /** What is wrong with the links; "" if nothing. The text names hosts, so it is only for the primary. */
  problem(): string {
    return this.#links.problem();
  }

  /** @param replicaId The id of this process. */
  registered(registration: RegisterProxyResponse, replicaId: string): void {
    this.listener.setWebSocketOnly(registration.derp_force_websockets);
    const siblings = registration.sibling_replicas
      .filter(({ id, relay_address: url }) => id !== replicaId && URL.canParse(url))
      .map(({ id, hostname: name, relay_address: relayUrl }) => ({ id, hostname: name, relayUrl }));
    this.#links.update(registration.derp_mesh_key, siblings);
    this.#admitBy(registration.admission === "stream");
  }

  /** A token that was replaced must open no links: its owner had a reason to replace it. */
  tokenRefused(): void {
    this.#links.update("", []);
  }

  /** Stops following the stream of keys. */
  async stopFollowing(): Promise<void> {
    await this.#stream?.close();
  }

  async close(): Promise<void> {
    await this.#links.close();
    await this.listener.close();
  }

  #admitBy(listed: boolean): void {
    const { deployment, log, onTokenRefused } = this.#options;
    if (!this.#keys.registered(listed)) return;
    if (!listed) {
      const ended = this.#stream;
      this.#stream = undefined;
      void ended?.close();
      log.warn("the primary does not name the clients that may use this relay: every client may");
      return;
    }
    this.#stream = new RelayKeyStream({
      deployment,
      keys: this.#keys,
      clock: monotonicNow,
      onChanges: (changes) => this.#keysChanged(changes),
      onLost: (why, tokenRefused) => {
        log.info({ why }, "there is no stream of relay keys");
        if (tokenRefused) onTokenRefused();
      },
    });
    this.#stream.start();
  }

  #keysChanged({ admitted, removed, unnamed }: KeyChanges): void {
    for (const key of admitted) this.listener.admitHeld(key);
    for (const key of removed) this.listener.revoke(key);
    if (unnamed) this.listener.revokeUnadmitted();
  }
}
