/**
 * Throws hostile arguments at the native module: `node udp-batch-fuzz.ts MODULE SEED ROUNDS`. Run on a build with address checks,
 * a read or write outside what was given ends the process. Every call must return or throw a JavaScript error.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createRequire } from "node:module";
import { setImmediate as turn } from "node:timers/promises";

const [modulePath, seedText, roundsText] = process.argv.slice(2);
const native = createRequire(import.meta.url)(modulePath!) as typeof import("udp-batch");
let state = Number(seedText) >>> 0;
/** xorshift32: the same seed gives the same run. */
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % below;
}

const MEMORY_BYTES = 256 * 1024;
const memory = new ArrayBuffer(MEMORY_BYTES);
const words = new Int32Array(memory);
const EDGES = [0, 1, -1, 15, 16, 17, 2047, 2048, 65_535, 65_536, MEMORY_BYTES, MEMORY_BYTES - 1, MEMORY_BYTES - 16];
const ODD = [
  undefined,
  null,
  "x",
  {},
  [],
  () => 0,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 40,
  -1,
  1n,
  Symbol("s"),
];

function pick<T>(values: readonly T[]): T {
  return values[random(values.length)]!;
}

function number(): number {
  return random(3) === 0 ? pick(EDGES) : random(3) === 0 ? (random(2 ** 31) - 2 ** 30) * 2 : random(MEMORY_BYTES);
}

function ints(): Int32Array {
  const out = new Int32Array(random(4) === 0 ? random(4_000) * 3 : random(80) * 3);
  for (let i = 0; i < out.length; i++)
    out[i] =
      random(150) === 0
        ? number()
        : i % 3 === 1
          ? random(1_500)
          : i % 3 === 2
            ? random(4)
            : random(MEMORY_BYTES - 1_500);
  return out;
}

function addresses(port: number): Uint8Array {
  const out = new Uint8Array(random(5) === 0 ? random(60) : 20 * 80);
  for (let at = 0; at + 20 <= out.length; at += 20) {
    out.set([pick([4, 4, 4, 6, 0, 255]), random(256), port >> 8, port & 255, 127, 0, 0, 1], at);
    if (random(4) === 0) out[at + 4 + random(16)] = random(256);
  }
  return out;
}

/** Mostly valid, so that code behind the first check is reached as well. */
function maybe<T>(value: T): T {
  return random(12) === 0 ? (pick(ODD) as T) : value;
}

const counts = new Map<string, { returned: number; threw: number }>();
function attempt(name: string, call: () => unknown): void {
  const count = counts.get(name) ?? { returned: 0, threw: 0 };
  counts.set(name, count);
  try {
    call();
    count.returned++;
  } catch (error) {
    if (!(error instanceof Error) || error.message === "") throw error;
    count.threw++;
  }
}

function jobs(): void {
  for (let i = 0; i < 32 * 16; i++) words[i] = random(2 ** 31);
  for (let job = 0; job < 32; job++) {
    words[job * 16 + 10] = random(20) === 0 ? number() : 2_048 + random(MEMORY_BYTES - 10_000);
    words[job * 16 + 11] = random(20) === 0 ? number() : random(4) === 0 ? random(64) : random(4_000);
  }
}

type SshCipher = ReturnType<typeof native.sshCipher>;
const ciphers: SshCipher[] = [];

/** One call of a cipher for SSH packets, over arrays and offsets that mostly fit. */
function sshCall(): void {
  const kind = pick([0, 1, 2] as const);
  const bytes = new Uint8Array(random(4) === 0 ? random(40) : 20 + random(40_000));
  const at = (): number => maybe(random(8) === 0 ? number() : random(Math.max(1, bytes.length - 20)));
  const nonce = maybe(new Uint8Array(random(6) === 0 ? random(20) : pick([8, 12])));
  const cipher = maybe(random(30) === 0 ? (pick(open) as unknown as SshCipher) : pick(ciphers));
  switch (random(9)) {
    case 0: {
      const key = maybe(new Uint8Array(random(8) === 0 ? random(80) : [16, 32, 64][kind]!));
      attempt("sshCipher", () => ciphers.push(native.sshCipher(maybe(kind), key, maybe(pick([0, 1])))));
      if (ciphers.length > 12) ciphers.splice(random(12), 1);
      break;
    }
    case 1:
      if (random(4) === 0) attempt("sshClose", () => native.sshClose(cipher));
      break;
    case 2:
      attempt("sshSeal", () => native.sshSeal(cipher, nonce, maybe(bytes)));
      break;
    case 3:
      attempt("sshLength", () => native.sshLength(cipher, nonce, maybe(bytes), at()));
      break;
    case 4:
      attempt("sshStart", () => native.sshStart(cipher, nonce, maybe(bytes), at()));
      break;
    case 5:
    case 6: {
      const text = maybe(new Uint8Array(random(bytes.length + 1)));
      const count = maybe(random(8) === 0 ? number() : random(Math.min(bytes.length, 100)));
      attempt("sshContinue", () => native.sshContinue(cipher, maybe(bytes), at(), count, text, random(100)));
      break;
    }
    case 7:
      attempt("sshEnd", () => native.sshEnd(cipher, maybe(bytes), at()));
      break;
    case 8: {
      const text = maybe(new Uint8Array(random(Math.max(1, bytes.length - 20))));
      attempt("sshOpen", () => native.sshOpen(cipher, nonce, maybe(bytes), at() % 64, text));
      break;
    }
  }
}

const sink = createSocket("udp4");
sink.bind(0, "127.0.0.1");
await once(sink, "listening");
const sinkPort = sink.address().port;
let heard = 0;
sink.on("message", () => void heard++);

type Socket = ReturnType<typeof native.bind>;
const open: Socket[] = [];
function bind(): void {
  const options = {
    family: pick([4, 6] as const),
    port: 0,
    bufferBytes: 1 << 20,
    memory,
    onReadable: () => undefined,
    onWritable: () => undefined,
  };
  const bad = random(3) === 0 ? { ...options, [pick(Object.keys(options))]: pick(ODD) } : options;
  attempt("bind", () => open.push(native.bind(random(10) === 0 ? (pick(ODD) as typeof options) : bad)));
}

const rounds = Number(roundsText);
for (let round = 0; round < rounds; round++) {
  if (open.length === 0 || (random(20) === 0 && open.length < 8)) bind();
  const socket = random(30) === 0 ? (pick([...ODD, sink]) as Socket) : pick(open);
  const ports = open.flatMap((each) => {
    try {
      return [native.port(each)];
    } catch {
      return []; // closed
    }
  });
  const port = random(2) === 0 ? sinkPort : (pick(ports) ?? sinkPort);
  if (random(3) === 0) sshCall();
  switch (random(9)) {
    case 0:
      jobs();
      attempt("seal", () =>
        native.seal(
          maybe(random(20) === 0 ? new ArrayBuffer(random(4_000)) : memory),
          maybe(random(10) === 0 ? number() : random(33)),
        ),
      );
      break;
    case 1:
      jobs();
      attempt("open", () =>
        native.open(
          maybe(random(20) === 0 ? new ArrayBuffer(random(4_000)) : memory),
          maybe(random(10) === 0 ? number() : random(33)),
        ),
      );
      break;
    case 2:
    case 3: {
      const records = ints();
      attempt("send", () =>
        native.send(
          socket,
          maybe(records),
          maybe(random(8) === 0 ? number() : Math.floor(records.length / 3)),
          maybe(addresses(port)),
        ),
      );
      break;
    }
    case 4:
    case 5: {
      // Slots that hold any message are received into directly.
      const stride = random(10) === 0 ? number() : pick([0, 1, 64, 1_536, 65_536, 66_112]);
      const places = Math.max(1, MEMORY_BYTES - Math.max(0, Math.min(stride, MEMORY_BYTES)));
      const slots = Int32Array.from({ length: random(6) === 0 ? random(5_000) : random(80) }, () =>
        random(300) === 0 ? number() : random(places),
      );
      const room = random(8) === 0 ? random(200) : slots.length;
      attempt("receive", () =>
        native.receive(
          socket,
          maybe(slots),
          maybe(stride),
          maybe(new Int32Array(room * 3)),
          maybe(new Uint8Array(room * 20)),
        ),
      );
      break;
    }
    case 6:
      attempt("sendOne", () =>
        native.sendOne(
          socket,
          maybe(new Uint8Array(random(3) === 0 ? random(70_000) : random(1_500))),
          maybe(addresses(port)),
          maybe(random(4) === 0 ? number() : random(256)),
          maybe(pick([0, 1])),
        ),
      );
      break;
    case 7:
      attempt("watchWritable", () => native.watchWritable(socket));
      break;
    case 8:
      if (random(6) === 0) {
        attempt("close", () => native.close(socket));
        if (random(2) === 0) open.splice(open.indexOf(socket), open.includes(socket) ? 1 : 0);
        attempt("close twice", () => native.close(socket));
      }
      break;
  }
  if (round % 50 === 0) await turn();
}
for (const socket of open) native.close(socket);
// A buffer that is detached while a socket holds it.
const gone = new ArrayBuffer(64 * 1024);
const last = native.bind({
  family: 4,
  port: 0,
  bufferBytes: 1 << 16,
  memory: gone,
  onReadable: () => undefined,
  onWritable: () => undefined,
});
structuredClone(gone, { transfer: [gone] });
attempt("detached", () => native.send(last, Int32Array.of(0, 100, 0), 1, addresses(sinkPort)));
native.close(last);
const packet = new Uint8Array(64);
const sealing = native.sshCipher(0, new Uint8Array(16), 1);
structuredClone(packet.buffer, { transfer: [packet.buffer] });
attempt("detached packet", () => native.sshSeal(sealing, new Uint8Array(12), packet));
sink.close();
await turn();
process.stdout.write(`${JSON.stringify({ heard, ...Object.fromEntries(counts) })}\n`);
