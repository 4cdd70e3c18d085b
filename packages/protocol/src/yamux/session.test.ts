import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex, Link, seededCut, toHex } from "../../test/link.ts";
import { Flag, FrameType, INITIAL_WINDOW_BYTES, writeHeader } from "./frame.ts";
import { ACCEPT_BACKLOG, DIALLER_PINGS, YamuxSession, type YamuxSessionOptions } from "./session.ts";
import type { StreamCloseReason, YamuxStream } from "./stream.ts";

const QUIET = { pingIntervalMs: 0 } as const;

/** A session whose peer is the test itself. */
function alone(role: "client" | "server", options: Partial<YamuxSessionOptions> = {}): YamuxSession {
  const session = new YamuxSession({ role, ...QUIET, ...options });
  session.handleTimeout(0);
  return session;
}

function output(session: YamuxSession): string {
  let text = "";
  for (let bytes = session.takeOutput(); bytes !== undefined; bytes = session.takeOutput()) text += toHex(bytes);
  return text;
}

function feed(session: YamuxSession, ...frames: Uint8Array[]): void {
  for (const frame of frames) session.handleBytes(frame, 0);
}

function dataFrame(streamId: number, payload: Uint8Array, flags = 0): Uint8Array {
  return new Uint8Array([...writeHeader(FrameType.data, flags, streamId, payload.length), ...payload]);
}

function readAll(stream: YamuxStream): Uint8Array {
  const pieces: number[] = [];
  for (let bytes = stream.read(); bytes !== undefined; bytes = stream.read()) pieces.push(...bytes);
  return Uint8Array.from(pieces);
}

/** Writes everything, as far as windows allow, and ends. */
function sendAll(stream: YamuxStream, bytes: Uint8Array): void {
  let at = 0;
  const go = (): void => {
    while (at < bytes.length) {
      const taken = stream.write(bytes.subarray(at, at + 50_000));
      if (taken === 0) return;
      at += taken;
    }
    stream.end();
  };
  stream.handlers.onWritable = go;
  go();
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

describe("frames on the wire", () => {
  test("the client opens stream 1 with a window update and SYN, then 3", () => {
    const session = alone("client");
    expect(session.openStream()?.id).toBe(1);
    expect(session.openStream()?.id).toBe(3);
    expect(output(session)).toBe(`00010001${"00000001"}00000000` + `00010001${"00000003"}00000000`);
  });

  test("the server opens stream 2", () => {
    expect(alone("server").openStream()?.id).toBe(2);
  });

  test("accepting answers with a window update and ACK, and data follows as it is written", () => {
    const session = alone("server");
    feed(session, hex("0001 0001 00000001 00000000"));
    const stream = session.accept()!;
    expect(stream.write(Uint8Array.of(0xab, 0xcd))).toBe(2);
    stream.end();
    expect(output(session)).toBe(
      "000100020000000100000000" + "000000000000000100000002abcd" + "000100040000000100000000",
    );
  });

  test("SYN and FIN may sit on a data frame", () => {
    const session = alone("server");
    feed(session, dataFrame(1, Uint8Array.of(1, 2, 3), Flag.syn | Flag.fin));
    const stream = session.accept()!;
    expect([...readAll(stream)]).toEqual([1, 2, 3]);
    expect(stream.finishedReading).toBe(true);
    expect(stream.closed).toBeUndefined();
  });

  test("a reset is a window update with RST, and ends both sides at once", () => {
    const reasons: StreamCloseReason[] = [];
    const session = alone("client");
    const stream = session.openStream({ onClosed: (reason) => reasons.push(reason) })!;
    output(session);
    stream.reset();
    stream.reset();
    expect(output(session)).toBe("000100080000000100000000");
    expect(reasons).toEqual(["aborted"]);
    expect(stream.write(Uint8Array.of(1))).toBe(0);
    expect(session.streamCount).toBe(0);
  });

  test("closing leaves a normal GoAway", () => {
    const session = alone("client");
    session.close();
    expect(output(session)).toBe("000300000000000000000000");
    expect(session.ended).toEqual({});
  });
});

describe("two sessions", () => {
  test("a stream carries much more than a window both ways, whatever the cuts are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: 1_000, max: 70_000 }), (seed, max) => {
        const link = new Link({ client: QUIET, server: QUIET, cut: seededCut(seed, max) });
        const up = pattern(700_000);
        const down = pattern(333_333);
        const got: { up: number[]; down: number[] } = { up: [], down: [] };
        const reasons: StreamCloseReason[] = [];
        const stream = link.client.openStream()!;
        stream.handlers = {
          onReadable: () => void got.down.push(...readAll(stream)),
          onClosed: (reason) => reasons.push(reason),
        };
        link.server.onIncoming = () => {
          const accepted = link.server.accept()!;
          accepted.handlers = {
            onReadable: () => void got.up.push(...readAll(accepted)),
            onClosed: (reason) => reasons.push(reason),
          };
          sendAll(accepted, down);
        };
        sendAll(stream, up);
        link.run();
        expect(Buffer.compare(Buffer.from(got.up), up)).toBe(0);
        expect(Buffer.compare(Buffer.from(got.down), down)).toBe(0);
        expect(reasons).toEqual(["finished", "finished"]);
        expect(link.client.streamCount + link.server.streamCount).toBe(0);
        expect(link.client.ended ?? link.server.ended).toBeUndefined();
      }),
      { numRuns: 6 },
    );
  });

  test("every single cut of a conversation gives the same result", () => {
    const recorder = alone("client");
    const stream = recorder.openStream()!;
    stream.write(Uint8Array.of(1, 2, 3, 4, 5));
    const other = recorder.openStream()!;
    other.write(Uint8Array.of(9));
    stream.end();
    const bytes = recorder.takeOutput()!;
    for (let cut = 0; cut <= bytes.length; cut++) {
      const session = alone("server");
      session.handleBytes(bytes.slice(0, cut), 0);
      session.handleBytes(bytes.slice(cut), 0);
      const first = session.accept()!;
      const second = session.accept()!;
      expect([[...readAll(first)], first.finishedReading, [...readAll(second)], second.finishedReading]).toEqual([
        [1, 2, 3, 4, 5],
        true,
        [9],
        false,
      ]);
    }
  });

  test("a writer gets one window while there is no reader, and continues when half of it was read", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    let writable = 0;
    const stream = link.client.openStream({ onWritable: () => writable++ })!;
    expect(stream.write(new Uint8Array(300_000))).toBe(INITIAL_WINDOW_BYTES);
    expect(stream.write(Uint8Array.of(1))).toBe(0);
    link.run();
    const accepted = link.server.accept()!;
    expect(accepted.readableBytes).toBe(INITIAL_WINDOW_BYTES);
    accepted.read(INITIAL_WINDOW_BYTES / 2 - 1);
    link.run();
    expect(writable).toBe(0);
    accepted.read(1);
    link.run();
    expect(writable).toBe(1);
    expect(stream.write(new Uint8Array(300_000))).toBe(INITIAL_WINDOW_BYTES / 2);
  });

  test("a stalled stream does not hold up another one", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    const stalled = link.client.openStream()!;
    stalled.write(new Uint8Array(300_000));
    const lively = link.client.openStream()!;
    lively.write(Uint8Array.of(7));
    link.run();
    link.server.accept();
    expect([...readAll(link.server.accept()!)]).toEqual([7]);
  });

  test("output is bounded: writers wait while it is not taken, and all of them continue when it is", () => {
    const link = new Link({ client: { ...QUIET, maxOutputBytes: 100_000 }, server: QUIET });
    const streams = [1, 2, 3].map(() => link.client.openStream()!);
    for (const stream of streams) sendAll(stream, pattern(200_000));
    expect(link.client.outputBytes).toBeLessThanOrEqual(100_000 + 1_000);
    const got = new Map<number, number>();
    link.server.onIncoming = () => {
      const accepted = link.server.accept()!;
      accepted.handlers.onReadable = () =>
        void got.set(accepted.id, (got.get(accepted.id) ?? 0) + readAll(accepted).length);
    };
    link.run();
    expect([...got.values()]).toEqual([200_000, 200_000, 200_000]);
  });

  test("half close lets the other side continue", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    const events: string[] = [];
    const stream = link.client.openStream({ onClosed: (reason) => events.push(reason) })!;
    stream.end();
    link.run();
    const accepted = link.server.accept()!;
    expect(accepted.remoteEnded).toBe(true);
    accepted.write(Uint8Array.of(5, 6));
    accepted.end();
    link.run();
    expect(events).toEqual(["finished"]);
    expect([...readAll(stream)]).toEqual([5, 6]);
    expect(() => stream.write(Uint8Array.of(1))).toThrow("write after end");
  });

  test("data in flight when a stream was reset is discarded, and the session continues", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    const stream = link.client.openStream()!;
    link.run();
    const accepted = link.server.accept()!;
    link.run();
    accepted.write(new Uint8Array(1000));
    stream.reset();
    link.run();
    expect(accepted.closed).toBe("reset");
    expect(link.client.ended).toBeUndefined();
    const next = link.client.openStream()!;
    next.write(Uint8Array.of(1));
    link.run();
    expect([...readAll(link.server.accept()!)]).toEqual([1]);
  });

  test("the end of the transport ends all streams and notifies each once", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    const reasons: string[] = [];
    const stream = link.client.openStream({ onClosed: (reason) => reasons.push(reason) })!;
    link.client.whenClosed((end) => reasons.push(JSON.stringify(end)));
    link.client.handleEnd("gone");
    link.client.handleEnd("gone again");
    expect(reasons).toEqual(["session", '{"failure":"gone"}']);
    expect(stream.closed).toBe("session");
    expect(link.client.openStream()).toBeUndefined();
    expect(link.client.nextTimeout()).toBeUndefined();
    link.client.whenClosed((end) => reasons.push(String(end.failure)));
    expect(reasons).toHaveLength(3);
  });

  test("after GoAway no new streams come, and existing ones continue", () => {
    const link = new Link({ client: QUIET, server: QUIET });
    const stream = link.client.openStream()!;
    link.run();
    link.server.goAway();
    link.run();
    expect(link.client.openStream()).toBeUndefined();
    stream.write(Uint8Array.of(3));
    link.run();
    expect([...readAll(link.server.accept()!)]).toEqual([3]);
  });

  test("a handler may close the session in the middle of a chunk", () => {
    const session = alone("server");
    session.onIncoming = () => session.close();
    feed(session, new Uint8Array([...hex("0001 0001 00000001 00000000"), ...hex("ffffffffffffffffffffffff")]));
    expect(session.ended).toEqual({});
  });
});

describe("limits", () => {
  test("more than the granted window is a protocol error", () => {
    const session = alone("server");
    feed(session, writeHeader(FrameType.data, Flag.syn, 1, INITIAL_WINDOW_BYTES + 1));
    expect(session.ended?.failure).toMatch("data on stream 1 exceeds its window");
    expect(output(session)).toBe("000300000000000000000001");
  });

  test("streams beyond the backlog are refused one by one", () => {
    const session = alone("server", { maxStreams: 1_000 });
    for (let i = 0; i <= ACCEPT_BACKLOG; i++)
      feed(session, writeHeader(FrameType.windowUpdate, Flag.syn, 1 + 2 * i, 0));
    expect(session.streamCount).toBe(ACCEPT_BACKLOG);
    expect(output(session)).toBe(toHex(writeHeader(FrameType.windowUpdate, Flag.rst, 1 + 2 * ACCEPT_BACKLOG, 0)));
    session.accept();
    feed(session, writeHeader(FrameType.windowUpdate, Flag.syn, 5001, 0));
    expect(session.streamCount).toBe(ACCEPT_BACKLOG + 1);
  });

  test("streams beyond the maximum are refused with their payload, even when all were accepted", () => {
    const session = alone("server", { maxStreams: 2 });
    feed(session, dataFrame(1, Uint8Array.of(1), Flag.syn), dataFrame(3, Uint8Array.of(1), Flag.syn));
    session.accept();
    session.accept();
    output(session);
    feed(session, dataFrame(5, Uint8Array.of(1, 2, 3), Flag.syn | Flag.fin), dataFrame(1, Uint8Array.of(2)));
    expect(output(session)).toBe(toHex(writeHeader(FrameType.windowUpdate, Flag.rst, 5, 0)));
    expect(session.ended).toBeUndefined();
  });

  test("we open no more streams than fit, and further ones as the peer accepts", () => {
    const session = alone("client");
    for (let i = 0; i < ACCEPT_BACKLOG; i++) expect(session.openStream()).toBeDefined();
    expect(session.openStream()).toBeUndefined();
    feed(session, writeHeader(FrameType.windowUpdate, Flag.ack, 1, 0));
    expect(session.openStream()).toBeDefined();
  });

  test("a peer that makes us answer and never reads ends the session instead of filling memory", () => {
    const session = alone("server", { maxOutputBytes: 10_000 });
    for (let i = 0; i < 50_000 && session.ended === undefined; i++)
      feed(session, writeHeader(FrameType.ping, Flag.syn, 0, i));
    expect(session.ended?.failure).toBe("the peer does not read its answers");
    expect(session.outputBytes).toBe(0);
  });

  test("a window that overflows 32 bits is a protocol error", () => {
    const session = alone("client");
    session.openStream();
    feed(session, writeHeader(FrameType.windowUpdate, 0, 1, 0xffff_ffff));
    expect(session.ended?.failure).toMatch("window of stream 1 overflows");
  });
});

describe("breaches of protocol by the peer", () => {
  const established = writeHeader(FrameType.windowUpdate, Flag.syn, 1, 0);
  const cases: [string, Uint8Array[], RegExp][] = [
    ["another version", [hex("01 00 0000 00000001 00000000")], /version 1/],
    ["an unknown type", [hex("00 04 0000 00000001 00000000")], /frame type 4/],
    ["open a stream twice", [established, established], /opened twice/],
    ["open a stream of our parity", [writeHeader(FrameType.windowUpdate, Flag.syn, 2, 0)], /not the peer's to open/],
    ["open stream 0", [writeHeader(FrameType.windowUpdate, Flag.syn, 0, 0)], /not the peer's to open/],
    [
      "end a stream twice",
      [established, ...[1, 2].map(() => writeHeader(FrameType.windowUpdate, Flag.fin, 1, 0))],
      /ended twice/,
    ],
    [
      "send after the end",
      [established, writeHeader(FrameType.windowUpdate, Flag.fin, 1, 0), dataFrame(1, Uint8Array.of(1))],
      /after its end/,
    ],
    ["go away because of an error", [writeHeader(FrameType.goAway, 0, 0, 2)], /closed the session with code 2/],
  ];
  test.each(cases)("%s", (_, frames, failure) => {
    const session = alone("server");
    feed(session, ...frames);
    expect(session.ended?.failure).toMatch(failure);
  });

  test("frames for streams that do not exist are ignored, with their payload", () => {
    const session = alone("server");
    feed(
      session,
      dataFrame(7, Uint8Array.of(1, 2, 3)),
      writeHeader(FrameType.windowUpdate, Flag.fin, 7, 5),
      writeHeader(FrameType.windowUpdate, Flag.rst, 9, 0),
    );
    expect(session.ended).toBeUndefined();
    expect(output(session)).toBe("");
  });

  test("any bytes: no throw, bounded output, and the session either lives or reports the reason", () => {
    const frame = fc
      .tuple(
        fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 1),
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 0, max: 40 }),
      )
      .map(([version, type, flags, id, length]) => {
        const header = writeHeader(type, flags, id, length);
        header[0] = version;
        return type === 0 ? new Uint8Array([...header, ...new Uint8Array(length)]) : header;
      });
    const chunk = fc.oneof({ weight: 9, arbitrary: frame }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) });
    fc.assert(
      fc.property(
        fc.constantFrom("client" as const, "server" as const),
        fc.array(chunk, { maxLength: 60 }),
        (role, chunks) => {
          const session = new YamuxSession({ role, maxOutputBytes: 4_000 });
          const mine = session.openStream();
          mine?.write(new Uint8Array(50));
          chunks.forEach((bytes, i) => {
            session.handleBytes(bytes, i * 100);
            const stream = session.accept();
            if (stream !== undefined) {
              readAll(stream);
              stream.write(new Uint8Array(10));
              if (i % 3 === 0) stream.end();
              if (i % 5 === 0) stream.reset();
            }
          });
          expect(session.outputBytes).toBeLessThan(80_000);
          if (session.ended !== undefined) expect(session.streamCount).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe("time", () => {
  test("a ping goes out every 30 s, is answered, and its answer is recorded", () => {
    const link = new Link();
    link.run();
    expect(link.client.lastPongAt).toBeUndefined();
    expect(link.client.nextTimeout()).toBe(31_000);
    link.tick(30_000);
    link.now += 40;
    link.run();
    expect(link.client.lastPongAt).toBe(31_040);
    expect(link.client.rttMs).toBe(40);
    expect(link.client.nextTimeout()).toBe(61_000);
  });

  test("a session whose ping is not answered within 10 s fails", () => {
    const session = new YamuxSession({ role: "client" });
    session.handleTimeout(0);
    session.handleTimeout(30_000);
    expect(output(session)).toBe("000200010000000000000001");
    expect(session.nextTimeout()).toBe(40_000);
    session.handleTimeout(39_999);
    expect(session.ended).toBeUndefined();
    session.handleBytes(writeHeader(FrameType.ping, Flag.ack, 0, 77), 39_999); // not the value of the ping
    session.handleTimeout(40_000);
    expect(session.ended?.failure).toBe("the peer did not answer a ping in time");
  });

  test("interval and timeout can be chosen, and turned off", () => {
    const server = new YamuxSession({ role: "server", pingIntervalMs: 15_000, pingTimeoutMs: 30_000 });
    server.handleTimeout(0);
    expect(server.nextTimeout()).toBe(15_000);
    server.handleTimeout(15_000);
    expect(server.nextTimeout()).toBe(45_000);
    expect(alone("server").nextTimeout()).toBeUndefined();
  });

  test("the side that dialled pings only a peer that sends nothing", () => {
    const session = new YamuxSession({ role: "client", ...DIALLER_PINGS });
    session.handleTimeout(0);
    for (let now = 30_000; now <= 300_000; now += 30_000) {
      session.handleBytes(writeHeader(FrameType.ping, Flag.syn, 0, 1), now);
      expect(output(session)).toBe("000200020000000000000001"); // the answer alone
      session.handleTimeout(now);
    }
    expect([output(session), session.nextTimeout()]).toEqual(["", 335_000]);
    session.handleTimeout(335_000);
    expect(output(session)).toBe("000200010000000000000001");
    expect(session.nextTimeout()).toBe(345_000);
    session.handleBytes(writeHeader(FrameType.ping, Flag.ack, 0, 1), 335_040);
    expect(session.nextTimeout()).toBe(370_040);
  });

  test("a ping is answered with its value", () => {
    const session = alone("server");
    feed(session, hex("0002 0001 00000000 cafebabe"));
    expect(output(session)).toBe("0002000200000000cafebabe");
  });

  test("a stream that is not accepted for 75 s fails the session", () => {
    const session = alone("client");
    session.openStream();
    expect(session.nextTimeout()).toBe(0); // not armed yet: due at once
    session.handleTimeout(5);
    expect(session.nextTimeout()).toBe(75_005);
    session.handleTimeout(75_005);
    expect(session.ended?.failure).toBe("stream 1 was not accepted in time");
  });

  test("a stream that the peer does not end for 5 min is reset", () => {
    const reasons: string[] = [];
    const session = alone("client");
    const stream = session.openStream({ onClosed: (reason) => reasons.push(reason) })!;
    feed(session, writeHeader(FrameType.windowUpdate, Flag.ack, 1, 0));
    stream.end();
    output(session);
    session.handleTimeout(10);
    session.handleTimeout(300_010);
    expect(reasons).toEqual(["timeout"]);
    expect(output(session)).toBe("000100080000000100000000");
    expect(session.ended).toBeUndefined();
  });

  test("a stream that lingers ends when the peer ends it, or is reset after 5 min", () => {
    const reasons: string[] = [];
    const session = alone("server");
    feed(
      session,
      writeHeader(FrameType.windowUpdate, Flag.syn, 1, 0),
      writeHeader(FrameType.windowUpdate, Flag.syn, 3, 0),
    );
    for (const stream of [session.accept()!, session.accept()!]) {
      stream.handlers = { onEnd: () => reasons.push("end"), onClosed: (reason) => reasons.push(reason) };
      stream.linger();
      stream.linger();
    }
    output(session);
    session.handleTimeout(10);
    feed(session, writeHeader(FrameType.windowUpdate, Flag.fin, 1, 0));
    expect(output(session)).toBe("000100040000000100000000");
    session.handleTimeout(300_010);
    expect(output(session)).toBe("000100080000000300000000");
    expect(reasons).toEqual(["finished", "timeout"]);
    expect(session.streamCount).toBe(0);
  });
});
