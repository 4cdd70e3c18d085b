/** Sends a packet through one relay node between two fresh keys, as two peers would. */
import { bytesEqual } from "wg-userspace/base/bytes";
import type { Node, Region } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection } from "wg-userspace/io/relay/relay-connection";
import type { RelayDialer } from "wg-userspace/io/relay/relay-dialer";
import type { ProbeKey, ProbeKeys } from "../relay/probe-keys.ts";

export interface RelayProbe {
  /** Whether a packet sent on one connection arrived on the other. */
  readonly exchanged: boolean;
  /** Round-trip time of a DERP ping. */
  readonly pingMs: number | undefined;
  readonly usesWebSocket: boolean;
  /** The errors of both connections. */
  readonly errors: readonly string[];
}

const RESEND_MS = 200;
const PAYLOAD_BYTES = 32;

/** Never rejects; takes no longer than `timeoutMs`, not counting the time to close. */
export async function probeRelay(
  region: Region,
  node: Node,
  options: {
    readonly keys: ProbeKeys;
    readonly dialer: RelayDialer;
    readonly forceWebSocket: boolean;
    readonly timeoutMs: number;
  },
): Promise<RelayProbe> {
  const senderKey = options.keys.lend();
  const receiverKey = options.keys.lend();
  const payload = nodeRandom.bytes(PAYLOAD_BYTES).slice();
  const errors: string[] = [];
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<boolean>();
  const deadline = setTimeout(() => arrive(false), options.timeoutMs);

  const connect = (key: ProbeKey, onPacket: (packet: Uint8Array) => void): RelayConnection =>
    new RelayConnection({
      region: { ...region, nodes: [node] },
      privateKey: key.privateKey,
      publicKey: key.publicKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      dial: options.dialer,
      forceWebSocket: options.forceWebSocket,
      handler: {
        onPacket: (_region, _source, bytes, offset, length) => onPacket(bytes.subarray(offset, offset + length)),
        onStateChange: (_state, error) => {
          if (error !== undefined && !errors.includes(error.message)) errors.push(error.message);
        },
      },
    });
  const sender = connect(senderKey, () => undefined);
  const receiver = connect(receiverKey, (packet) => {
    if (bytesEqual(packet, payload)) arrive(true);
  });
  // The receiver may be registered later than the sender; until then, packets to it are dropped.
  const resend = setInterval(() => sender.send(receiverKey.publicKey, payload, 0, payload.length), RESEND_MS);
  try {
    const exchanged = await arrived;
    const pingMs = exchanged
      ? await sender.ping({ signal: AbortSignal.timeout(options.timeoutMs) }).catch(() => undefined)
      : undefined;
    if (!exchanged && errors.length === 0) errors.push("connected, but no packet arrived in time");
    return { exchanged, pingMs, usesWebSocket: sender.transport === "websocket", errors: errors.slice(0, 8) };
  } finally {
    clearInterval(resend);
    clearTimeout(deadline);
    await Promise.all([sender.close(), receiver.close()]);
    senderKey.giveBack();
    receiverKey.giveBack();
  }
}
