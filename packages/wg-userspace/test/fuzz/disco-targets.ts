import { concatBytes } from "../../src/base/bytes.ts";
import { looksLikeDisco } from "../../src/base/disco-marker.ts";
import { Drops } from "../../src/base/errors.ts";
import { addMs, instant } from "../../src/base/instant.ts";
import { formatAddrPort, parseAddrPort } from "../../src/base/ip.ts";
import { type DiscoPublicKey, discoPrivateKey, nodePublicKey } from "../../src/base/keys.ts";
import { openDisco, sealDisco } from "../../src/disco/box.ts";
import { encodeCallMeMaybe, encodePing, encodePong, parseDiscoMessage } from "../../src/disco/message.ts";
import { nodeCryptoSuite as crypto } from "../../src/io/host/crypto-suite.ts";
import { MAX_CANDIDATES } from "../../src/magicsock/candidate-list.ts";
import { Discovery } from "../../src/magicsock/discovery.ts";
import { Endpoint } from "../../src/magicsock/endpoint.ts";
import { relayPath, udpPath } from "../../src/magicsock/path.ts";
import {
  encodeBindingRequest,
  encodeBindingResponse,
  looksLikeStun,
  parseBindingRequest,
  parseBindingResponse,
} from "../../src/stun/message.ts";
import type { FuzzTarget, FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import { LinkRandom } from "../../src/testing/link.ts";

const TICK_MS = 5;
const REGION = 1;
const MAX_PENDING = 4_096;
const TX_ID = new Uint8Array(12).fill(7);
const [OURS, THEIRS, THEIR_NODE] = [81, 82, 83].map((fill) => new Uint8Array(32).fill(fill)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const theirDisco = crypto.publicKey(THEIRS) as DiscoPublicKey;
const theirNode = nodePublicKey(crypto.publicKey(THEIR_NODE));
const endpoints = ["192.0.2.1:7", "[2001:db8::1]:9", "10.0.0.1:65535"].map((text) => parseAddrPort(text)!);
const PLAINTEXTS = [
  encodePing(TX_ID, theirNode),
  encodePing(TX_ID, theirNode, undefined),
  encodePong(TX_ID, endpoints[0]!),
  encodeCallMeMaybe(endpoints),
  encodeCallMeMaybe([]),
];

export const discoMessages: FuzzTargetFactory = {
  name: "disco-messages",
  create: () => ({
    corpus: () => PLAINTEXTS,
    feed(input) {
      const message = parseDiscoMessage(input);
      if (message?.kind === "pong") formatAddrPort(message.source);
      if (message?.kind === "call-me-maybe") message.endpoints.map(formatAddrPort);
      if (looksLikeDisco(input, 0, input.length)) openDisco(crypto, OURS, input);
    },
  }),
};

/** A peer with valid keys sends anything, by UDP from any address or by relay, to a node that looks for a path to it. */
export const discoPeer: FuzzTargetFactory = { name: "disco-peer", create: () => new FuzzedPeer() };

class FuzzedPeer implements FuzzTarget {
  readonly #endpoint = new Endpoint(theirNode);
  readonly #discovery: Discovery;
  readonly #boxKey: Uint8Array;
  readonly #random = new LinkRandom(9);
  readonly #sentIds: Uint8Array[] = [];
  #now = instant(1_000);

  constructor() {
    const random = {
      uint32: () => this.#random.uint32(),
      bytes: (length: number) => {
        const bytes = this.#random.bytes(length);
        if (length === TX_ID.length) this.#sentIds.push(bytes);
        if (this.#sentIds.length > 16) this.#sentIds.shift();
        return bytes;
      },
    };
    this.#discovery = new Discovery(
      {
        privateKey: discoPrivateKey(OURS),
        nodeKey: nodePublicKey(crypto.publicKey(new Uint8Array(32).fill(84))),
        blockDirect: false,
        maxMtu: 1420,
        crypto,
        random,
      },
      {
        sendProbe: () => undefined,
        sendByRelay: () => true,
        suspected: () => undefined,
        stuck: () => undefined,
        pathChanged: (endpoint) => endpoint.choose(),
      },
      new Drops(),
      this.#now,
    );
    this.#endpoint.setHomeRegion(REGION);
    this.#boxKey = crypto.boxKey(THEIRS, this.#discovery.publicKey)!;
    this.#discovery.setPeer(this.#endpoint, theirDisco, endpoints, this.#now);
    this.#discovery.setOwnEndpoints(endpoints, [], this.#now);
  }

  /** Answers to pings that are under way are among them, so that paths are found and lost. */
  corpus(): readonly Uint8Array[] {
    const answers = this.#sentIds.map((id) => encodePong(id, endpoints[0]!));
    return [...PLAINTEXTS, ...answers].map((plaintext) => concatBytes(Uint8Array.of(1), plaintext));
  }

  feed(input: Uint8Array): void {
    this.#now = addMs(this.#now, TICK_MS);
    this.#endpoint.noteSent((input[0] ?? 0) % 3 === 0, this.#now);
    const nonce = this.#random.bytes(24);
    const packet = sealDisco(crypto, theirDisco, this.#boxKey, nonce, input.subarray(1));
    if ((input[0] ?? 0) % 2 === 0) {
      this.#discovery.handleRelayPacket(this.#endpoint, relayPath(REGION, theirNode), REGION, packet, this.#now);
    } else {
      const from = udpPath({ address: endpoints[0]!.address, port: 1 + ((input[1] ?? 0) & 63) });
      this.#discovery.handleDatagram(from, packet, this.#now);
    }
    this.#discovery.handleTimeout(this.#now);
    const next = this.#discovery.nextTimeout();
    if (next !== undefined && next <= this.#now) throw new Error("a deadline stays due");
  }

  bounds() {
    return [
      { what: "candidates", size: this.#endpoint.finder!.candidates.length, limit: MAX_CANDIDATES },
      { what: "pending pings", size: this.#discovery.pendingPings, limit: MAX_PENDING },
    ];
  }
}

export const stunMessages: FuzzTargetFactory = {
  name: "stun-messages",
  create: () => ({
    corpus: () => [encodeBindingRequest(TX_ID), ...endpoints.map((at) => encodeBindingResponse(TX_ID, at))],
    feed(input) {
      const request = parseBindingRequest(input);
      const response = parseBindingResponse(input);
      if ((request !== undefined || response !== undefined) && !looksLikeStun(input))
        throw new Error("parsed what is not STUN");
      if (response !== undefined) formatAddrPort(response.mapped);
    },
  }),
};
