/** A relay client like that of a node. */
import { expect, vi } from "vitest";
import { hexEncode, utf8 } from "wg-userspace/base/bytes";
import { clampPrivateKey } from "wg-userspace/base/keys";
import { copyOf } from "wg-userspace/derp/frame";
import { relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection } from "wg-userspace/io/relay/relay-connection";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";

const eventually = { timeout: 20_000, interval: 25 };

export class RelayClient implements AsyncDisposable {
  readonly #privateKey = clampPrivateKey(nodeRandom.bytes(32));
  readonly publicKey = nodeCryptoSuite.publicKey(this.#privateKey);
  readonly received: string[] = [];
  #connection: RelayConnection | undefined;

  get key(): string {
    return hexEncode(this.publicKey);
  }

  get connection(): RelayConnection {
    if (this.#connection === undefined) throw new Error("dial comes first");
    return this.#connection;
  }

  /** Starts to connect. */
  dial(port: number): this {
    const node = relayNode({ name: "1a", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
    this.#connection = new RelayConnection({
      region: { regionId: 1, regionCode: "r", regionName: "r", embeddedRelay: false, avoid: false, nodes: [node] },
      privateKey: this.#privateKey,
      publicKey: this.publicKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      dial: directRelayDialer,
      handler: {
        onPacket: (_region, source, bytes, offset, length) =>
          this.received.push(`${hexEncode(source).slice(0, 8)} ${Buffer.from(copyOf(bytes, offset, length))}`),
      },
    });
    return this;
  }

  async ready(): Promise<this> {
    await vi.waitFor(() => expect(this.connection.state).toBe("ready"), eventually);
    return this;
  }

  /** Sends until the packet arrives: one to a client that is not connected yet is dropped. */
  async reaches(other: RelayClient, text: string): Promise<void> {
    const packet = utf8(text);
    await vi.waitFor(() => {
      this.connection.send(other.publicKey, packet, 0, packet.length);
      expect(other.received).toContain(`${this.key.slice(0, 8)} ${text}`);
    }, eventually);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection?.close();
  }
}
