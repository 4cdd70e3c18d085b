/** The lower bound for every engine on Node: one system call and one seal or open per datagram, and nothing else. */
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { createPacketCipher } from "../../packages/wg-userspace/src/aead/cipher.ts";
import { CIPHER_BATCH } from "../../packages/wg-userspace/src/base/ports.ts";
import { answerRequests } from "./processes.ts";

const HEADER_BYTES = 16;
const INNER_BYTES = 1280;
const DATAGRAM_BYTES = HEADER_BYTES + INNER_BYTES + 16;
/** Payload of a TCP segment in that inner packet, over IPv6 with timestamps. */
const PAYLOAD_BYTES = INNER_BYTES - 40 - 32;
const SOCKET_BUFFER_BYTES = 4 << 20;
const KEY = new Uint8Array(32).fill(7);

const cipher = createPacketCipher();
let socket: Socket | undefined;
let [firstAt, lastAt, received] = [0, 0, 0];

await answerRequests({
  async open(request) {
    const bound = createSocket({ type: "udp6", lookup: (host, _options, done) => done(null, host, isIP(host)) });
    await new Promise<void>((resolve) => bound.bind(0, resolve));
    socket = bound;
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
    if (request["receive"] === true) receive(socket);
    return { port: socket.address().port };
  },
  async send(request) {
    return { packets: await send(socket!, Number(request["port"]), Number(request["seconds"])) };
  },
  /** Bytes received since the last call. */
  async received() {
    const gbitPerSecond = (received * PAYLOAD_BYTES * 8) / (lastAt - firstAt) / 1e6;
    [firstAt, received] = [0, 0];
    return { gbitPerSecond };
  },
});
process.exit(0);

function receive(from: Socket): void {
  const slots = Array.from({ length: CIPHER_BATCH }, () => cipher.rx.lease());
  let queued = 0;
  from.on("message", (datagram) => {
    lastAt = performance.now();
    if (firstAt === 0) firstAt = lastAt;
    received++;
    const slot = slots[queued++]!;
    cipher.memory.bytes.set(datagram, slot);
    cipher.queueOpen(KEY, 0, 0, slot + HEADER_BYTES, datagram.length - HEADER_BYTES - 16);
    if (queued < CIPHER_BATCH) return;
    cipher.runOpen();
    queued = 0;
  });
}

async function send(to: Socket, port: number, seconds: number): Promise<number> {
  const slots = Array.from({ length: CIPHER_BATCH }, () => cipher.tx.lease());
  const views = slots.map((slot) => cipher.memory.bytes.subarray(slot, slot + DATAGRAM_BYTES));
  const end = performance.now() + seconds * 1000;
  let packets = 0;
  while (performance.now() < end) {
    for (const slot of slots) cipher.queueSeal(KEY, 0, 0, slot + HEADER_BYTES, INNER_BYTES);
    cipher.runSeal();
    for (const view of views) to.send(view, 0, DATAGRAM_BYTES, port, "::ffff:127.0.0.1");
    packets += CIPHER_BATCH;
    await new Promise(setImmediate);
  }
  for (const slot of slots) cipher.tx.release(slot);
  return packets;
}
