import { Duplex } from "node:stream";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { addMs, type Instant, instant } from "../../src/base/instant.ts";
import { DerpClient } from "../../src/derp/client.ts";
import {
  FrameDecoder,
  FrameType,
  frame,
  MAX_FRAME_BYTES,
  notePreferredFrame,
  peerGoneFrame,
  restartingFrame,
} from "../../src/derp/frame.ts";
import {
  clientInfoFrame,
  openClientInfo,
  openServerInfo,
  parseServerKey,
  serverInfoFrame,
  serverKeyFrame,
} from "../../src/derp/handshake.ts";
import { derpMapToJson, parseDerpMap } from "../../src/derp/map.ts";
import { DerpRelay } from "../../src/derp/relay.ts";
import { nodeCryptoSuite as crypto } from "../../src/io/host/crypto-suite.ts";
import { requestHead } from "../../src/io/relay/relay-upgrade.ts";
import type { FuzzTarget, FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import { LinkRandom } from "../../src/testing/link.ts";

const TICK_MS = 0.5;
const [RELAY, FUZZED, QUIET, STRANGER] = [91, 92, 93, 94].map((fill) => new Uint8Array(32).fill(fill));
const KEYS = [RELAY, FUZZED, QUIET, STRANGER].map((key) => crypto.publicKey(key!));
const [relayKey, fuzzedKey, quietKey, strangerKey] = KEYS as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const boxKey = crypto.boxKey(FUZZED!, relayKey)!;
const NONCE = new Uint8Array(24).fill(3);
const payload = new Uint8Array(200).fill(0x44);

const CLIENT_FRAMES = [
  frame(FrameType.sendPacket, quietKey, payload),
  frame(FrameType.sendPacket, strangerKey, payload),
  frame(FrameType.sendPacket, fuzzedKey, payload),
  frame(FrameType.forwardPacket, strangerKey, quietKey, payload),
  frame(FrameType.ping, new Uint8Array(8)),
  frame(FrameType.pong, new Uint8Array(8)),
  frame(FrameType.keepAlive),
  frame(FrameType.watchConns),
  frame(FrameType.closePeer, quietKey),
  notePreferredFrame(true),
];
const SERVER_FRAMES = [
  frame(FrameType.recvPacket, quietKey, payload),
  frame(FrameType.ping, new Uint8Array(8)),
  frame(FrameType.pong, new Uint8Array(8)),
  frame(FrameType.keepAlive),
  frame(FrameType.health, utf8("not well")),
  frame(FrameType.peerPresent, quietKey, new Uint8Array(18)),
  peerGoneFrame(quietKey, 1),
  restartingFrame(100, 1_000),
  serverKeyFrame(relayKey),
  serverInfoFrame(crypto, boxKey, NONCE, { version: 2, tokenBucketBytesPerSecond: 1e6, tokenBucketBytesBurst: 1e6 }),
];
const GREETING = clientInfoFrame(crypto, fuzzedKey, boxKey, NONCE, { version: 2, canAckPings: true, isProber: false });

/** Frames alone, across the borders of chunks. */
export const derpFrames: FuzzTargetFactory = {
  name: "derp-frames",
  create: () => {
    let decoder = new FrameDecoder();
    const sink = {
      frameHeader: (type: number, length: number) =>
        (length > 65_536 ? "refuse" : type === 0x30 ? "skip" : "take") as "take" | "skip" | "refuse",
      frame: (_type: number, bytes: Uint8Array, offset: number, length: number) => {
        if (offset + length > bytes.length) throw new Error("a frame lies outside its buffer");
      },
    };
    return {
      corpus: () => [...CLIENT_FRAMES, ...SERVER_FRAMES],
      feed(input) {
        decoder.push(input, sink);
        if (decoder.stopped) decoder = new FrameDecoder();
      },
      bounds: () => [{ what: "bytes held by the decoder", size: decoder.heldBytes, limit: 131_072 }],
    };
  },
};

/** The relay: every fourth input comes from an unidentified connection. */
export const derpRelay: FuzzTargetFactory = { name: "derp-relay", create: () => new RelayTarget() };

class RelayTarget implements FuzzTarget {
  readonly #relay = new DerpRelay({
    privateKey: RELAY!,
    publicKey: relayKey,
    crypto,
    random: new LinkRandom(5),
  });
  readonly #open = new Set<number>();
  #now: Instant = instant(1_000);
  #nextId = 1;
  #fuzzed: number;
  #inputs = 0;

  constructor() {
    const quietBox = crypto.boxKey(QUIET!, relayKey)!;
    const info = { version: 2, canAckPings: true, isProber: false };
    this.#connect(clientInfoFrame(crypto, quietKey, quietBox, NONCE, info));
    this.#fuzzed = this.#connect(GREETING);
  }

  corpus(): readonly Uint8Array[] {
    return [GREETING, ...CLIENT_FRAMES, concatBytes(...CLIENT_FRAMES)];
  }

  feed(input: Uint8Array): void {
    this.#now = addMs(this.#now, TICK_MS);
    if (++this.#inputs % 4 === 0) {
      const id = this.#connect(input);
      this.#drain();
      if (this.#open.delete(id)) this.#relay.connectionClosed(id, this.#now);
    } else {
      if (!this.#open.has(this.#fuzzed)) this.#fuzzed = this.#connect(GREETING);
      this.#relay.handleBytes(this.#fuzzed, input, this.#now);
    }
    const due = this.#relay.nextTimeout();
    if (due !== undefined && due <= this.#now) this.#relay.handleTimeout(this.#now);
    this.#drain();
  }

  bounds() {
    const { connections, clients } = this.#relay.metrics;
    return [
      { what: "connections", size: connections, limit: 3 },
      { what: "clients", size: clients, limit: 3 },
      { what: "bytes queued", size: this.#relay.queuedBytes(this.#fuzzed), limit: 2 << 20 },
    ];
  }

  #connect(first: Uint8Array): number {
    const id = this.#nextId++;
    this.#open.add(id);
    this.#relay.addConnection(id, this.#now);
    this.#relay.handleBytes(id, first, this.#now);
    return id;
  }

  #drain(): void {
    for (let closed = this.#relay.pollClosed(); closed !== undefined; closed = this.#relay.pollClosed()) {
      if (this.#open.delete(closed.id)) this.#relay.connectionClosed(closed.id, this.#now);
    }
    for (let id = this.#relay.pollOutput(); id !== undefined; id = this.#relay.pollOutput()) {
      while (this.#relay.takeOutput(id, 65_536) !== undefined);
    }
  }
}

/** The client: every fourth input is the first input of a new connection. */
export const derpClient: FuzzTargetFactory = {
  name: "derp-client",
  create: () => {
    let now = instant(1_000);
    let inputs = 0;
    const connect = (): DerpClient =>
      new DerpClient(
        {
          privateKey: FUZZED!,
          publicKey: fuzzedKey,
          crypto,
          random: new LinkRandom(6),
          handler: {
            onPacket: (_source, bytes, offset, length) => {
              if (offset + length > bytes.length) throw new Error("a packet lies outside its buffer");
            },
          },
        },
        now,
      );
    const ready = (): DerpClient => {
      const made = connect();
      made.handleBytes(concatBytes(serverKeyFrame(relayKey), SERVER_FRAMES.at(-1)!), now);
      if (!made.ready) throw new Error("the client did not become ready");
      return made;
    };
    let client = ready();
    return {
      corpus: () => [...SERVER_FRAMES, concatBytes(...SERVER_FRAMES)],
      feed(input) {
        now = addMs(now, TICK_MS);
        if (++inputs % 4 === 0) connect().handleBytes(input, now);
        else {
          if (client.closed) client = ready();
          client.handleBytes(input, now);
          const due = client.nextTimeout();
          if (due !== undefined && due <= now) client.handleTimeout(now);
          while (client.takeOutput() !== undefined);
        }
      },
      bounds: () => [{ what: "bytes queued", size: client.queuedBytes, limit: 1 << 20 }],
    };
  },
};

/** The boxes of the handshake, with any JSON inside. */
export const derpHandshake: FuzzTargetFactory = {
  name: "derp-handshake",
  create: () => {
    let inputs = 0;
    const texts = [
      '{"version":2,"CanAckPings":true,"meshKey":"k","IsProber":true}',
      '{"TokenBucketBytesPerSecond":1e9,"TokenBucketBytesBurst":7}',
    ];
    return {
      corpus: () => [...texts.map((text) => utf8(text)), GREETING.subarray(5), SERVER_FRAMES.at(-2)!.subarray(5)],
      feed(input) {
        parseServerKey(input, 0, input.length);
        // One way per input: each costs a key agreement.
        const way = inputs++ % 3;
        if (way === 0) return void openClientInfo(crypto, RELAY!, input, 0, input.length);
        const sealed = concatBytes(NONCE, crypto.sealBox(boxKey, NONCE, input));
        if (way === 1) {
          const info = openServerInfo(crypto, boxKey, sealed, 0, sealed.length);
          if (info !== undefined && !Number.isSafeInteger(info.version)) throw new Error("the version is no count");
          return;
        }
        const whole = concatBytes(fuzzedKey, sealed);
        openClientInfo(crypto, RELAY!, whole, 0, whole.length);
      },
    };
  },
};

const MAP_JSON = JSON.stringify({
  HomeParams: { RegionScore: { "1": 0.5 } },
  OmitDefaultRegions: false,
  Regions: {
    "1": {
      RegionID: 1,
      RegionCode: "a",
      RegionName: "A",
      EmbeddedRelay: true,
      Nodes: [
        { Name: "1a", RegionID: 1, HostName: "a.example", IPv4: "1.2.3.4", IPv6: "::1", DERPPort: 443, STUNPort: 3478 },
        { Name: "1b", RegionID: 1, HostName: "b.example", STUNOnly: true, CanPort80: true, ForceHTTP: true },
      ],
    },
    "2": { RegionID: 2, RegionCode: "b", RegionName: "B", Avoid: true, Nodes: [] },
  },
});
const ODD_VALUES = [
  null,
  -1,
  1e308,
  0.5,
  65_536,
  "",
  "x".repeat(300),
  true,
  [],
  {},
  [[]],
  "__proto__",
  { "999999": 1 },
];

/** The relay map: its text, and its values replaced one by one where the text no longer parses. */
export const derpMap: FuzzTargetFactory = {
  name: "derp-map",
  create: () => ({
    corpus: () => [utf8(MAP_JSON)],
    feed(input) {
      const result = parseDerpMap(parsedOrOdd(input));
      if ("error" in result) {
        if (result.error === "") throw new Error("an error without words");
        return;
      }
      const again = parseDerpMap(JSON.parse(JSON.stringify(derpMapToJson(result.map))));
      if ("error" in again) throw new Error(`a map did not survive its own JSON: ${again.error}`);
    },
  }),
};

function parsedOrOdd(input: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(input));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return withOddValue(JSON.parse(MAP_JSON) as Record<string, unknown>, input);
  }
}

/** Walks down by the bytes of the input and replaces what is there. */
function withOddValue(root: Record<string, unknown>, steps: Uint8Array): unknown {
  let place = root;
  for (const step of steps.subarray(0, 6)) {
    const names = Object.keys(place);
    const name = names[step % Math.max(1, names.length)];
    if (name === undefined) break;
    const below = place[name];
    if (step < 160 && typeof below === "object" && below !== null) place = below as Record<string, unknown>;
    else {
      place[step % 3 === 0 ? name.toLowerCase() : name] = ODD_VALUES[step % ODD_VALUES.length];
      break;
    }
  }
  return root;
}

/** The answer to an upgrade request, in one chunk. */
export const upgradeAnswer: FuzzTargetFactory = {
  name: "http-upgrade-answer",
  create: () => {
    const answers = [
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n\r\nrest",
      "HTTP/1.0 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno!",
    ];
    const options = { host: "h", path: "/derp", headers: {}, context: "fuzz" };
    return {
      corpus: () => answers.map((text) => utf8(text)),
      feed(input) {
        const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
        const { signal } = new AbortController();
        // Rejecting is the right answer to most of this; throwing from within the event is not.
        requestHead(stream, { ...options, signal }).catch(() => undefined);
        stream.emit("data", Buffer.from(input));
        stream.emit("end");
        stream.destroy();
      },
      bounds: () => [{ what: "largest frame", size: MAX_FRAME_BYTES, limit: 1 << 20 }],
    };
  },
};
