import { describe, expect, test } from "vitest";
import type { TcpRequest } from "../../src/netstack/stack.ts";
import { Script, tcp } from "./tcp-script.ts";

const MSS = 1208; // 1280 - 40 - 20 - 12
const full = (count: number) => "x".repeat(MSS * count);

describe("opening", () => {
  test("an active open offers MSS, window scale, SACK and timestamps, and acknowledges the answer", () => {
    const script = new Script();
    const [syn, ...rest] = script.connect();
    expect(rest).toEqual([]);
    expect(syn).toMatchObject({ flags: "S", seq: 0, mss: 1220, windowScale: 9, sackPermitted: true });
    script.send({ flags: "SA", ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "A", seq: 1, ack: 1, length: 0 }]);
    expect(script.events).toEqual(["connected"]);
    expect(script.connection.state).toBe("ESTABLISHED");
  });

  test("options that the peer did not offer are not used", () => {
    const script = new Script({ peer: { windowScale: -1, sackPermitted: false, timestamps: false, mss: 600 } });
    script.listen();
    script.send({ flags: "S", ...script.offer() });
    const [answer] = script.out();
    expect(answer).toMatchObject({ flags: "SA", windowScale: -1, sackPermitted: false, timestamps: undefined });
    script.send({});
    script.write("y".repeat(700));
    expect(script.out()).toMatchObject([{ length: 600, window: 65535 }, { length: 100 }]);
  });

  test("a SYN is repeated with doubling waits until the connect timeout", () => {
    const script = new Script({ options: { connectTimeoutMs: 10_000 } });
    script.connect();
    const repeats = script.wait(20_000);
    expect(repeats.map((s) => [s.flags, s.at - 100_000])).toEqual([
      ["S", 1000],
      ["S", 3000],
      ["S", 7000],
    ]);
    expect(script.events).toEqual(["closed ERR_CONNECTION_TIMEOUT"]);
  });

  test("a reset that acknowledges our SYN refuses the connection, any other is ignored", () => {
    const script = new Script();
    script.connect();
    script.send({ flags: "R" });
    script.send({ flags: "RA", ack: 7 });
    expect(script.out()).toEqual([]);
    script.send({ flags: "RA", ack: 1 });
    script.out();
    expect(script.events).toEqual(["closed ERR_CONNECTION_REFUSED"]);
  });

  test("an acknowledgment of something else during SYN_SENT is answered with a reset of that number", () => {
    const script = new Script();
    script.connect();
    script.send({ flags: "SA", ack: 500, ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "R", seq: 500 }]);
    expect(script.connection.state).toBe("SYN_SENT");
  });

  test("two crossing SYNs make one connection", () => {
    const script = new Script();
    script.connect();
    script.send({ flags: "S", ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "SA", seq: 0, ack: 1 }]);
    expect(script.connection.state).toBe("SYN_RECEIVED");
    script.send({ flags: "SA", seq: 0, ack: 1, ...script.offer() });
    script.send({ ack: 1 });
    script.out();
    expect(script.connection.state).toBe("ESTABLISHED");
  });

  test("data written before the connection exists goes out after the handshake", () => {
    const script = new Script();
    script.connect();
    expect(script.write("early")).toBe(5);
    script.connection.end();
    expect(script.out()).toEqual([]);
    script.send({ flags: "SA", ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "FPA", payload: "early" }]);
    expect(script.connection.state).toBe("FIN_WAIT_1");
  });

  test("initial sequence numbers differ between ports and advance with time", () => {
    const issOf = (now: number, port: number) => {
      const script = new Script();
      script.now = (script.now + now) as typeof script.now;
      script.localPort = port;
      script.listen();
      script.send({ flags: "S", ...script.offer() });
      script.out();
      return script.iss;
    };
    expect(issOf(0, 80)).toBe(issOf(0, 80));
    expect(issOf(0, 80)).not.toBe(issOf(0, 81));
    expect((issOf(1000, 80) - issOf(0, 80)) >>> 0).toBe(250_000);
  });
});

describe("requests", () => {
  test("no SYN-ACK is sent before accept, and a repeated SYN is not a second request", () => {
    const script = new Script();
    const requests: TcpRequest[] = [];
    script.listen((request) => requests.push(request));
    script.send({ flags: "S", ...script.offer() });
    script.send({ flags: "S", seq: 0, ...script.offer() });
    expect(script.out()).toEqual([]);
    expect(requests).toHaveLength(1);
    script.accept(requests[0]!);
    expect(script.out()).toMatchObject([{ flags: "SA", ack: 1 }]);
    script.send({ flags: "S", seq: 0, ack: 0, ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "SA", ack: 1 }]);
    expect(requests[0]!.accept({}, script.now)).toBeUndefined();
  });

  test("reject, and no decision within 10 s, end in a reset", () => {
    for (const decide of [true, false]) {
      const script = new Script();
      const requests: TcpRequest[] = [];
      script.listen((request) => requests.push(request));
      script.send({ flags: "S", ...script.offer() });
      if (decide) requests[0]!.reject(script.now);
      const sent = script.wait(10_001);
      expect(sent).toMatchObject([{ flags: "RA", ack: 1 }]);
      expect(sent[0]!.at - 100_000).toBe(decide ? 0 : 10_000);
      expect(requests[0]!.accept({}, script.now)).toBeUndefined();
      expect(script.stack.connectionCount).toBe(0);
    }
  });

  test("beyond the backlog SYNs are dropped; a finished handshake makes room", () => {
    const script = new Script();
    const requests: TcpRequest[] = [];
    script.stack.listenTcp({ port: 80, backlog: 1 }, { onRequest: (request) => requests.push(request) });
    script.send({ flags: "S", ...script.offer() });
    script.peerNext = 0;
    Object.assign(script, { peerPort: 40001 });
    script.send({ flags: "S", ...script.offer() });
    expect(requests).toHaveLength(1);
    expect(script.stack.drops.counts["queue-full"]).toBe(1);
    requests[0]!.reject(script.now);
    script.peerNext = 0;
    script.send({ flags: "S", ...script.offer() });
    expect(requests).toHaveLength(2);
  });

  test("a SYN to a port without listener is reset, or goes to the fallback when there is one", () => {
    const script = new Script();
    script.send({ flags: "S", ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "RA", ack: 1 }]);
    script.stack.setTcpFallback({ onRequest: (request) => script.accept(request) });
    script.peerNext = 0;
    script.send({ flags: "S", ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "SA", ack: 1 }]);
    expect(script.connection.local.port).toBe(80);
  });

  test("a stray segment is answered with a reset of the number it acknowledges, a stray reset with nothing", () => {
    const script = new Script();
    script.send({ flags: "A", ack: 1234, payload: "?" });
    script.send({ flags: "R", ack: 1234 });
    expect(script.out()).toMatchObject([{ flags: "R", seq: 1234, ack: -1 }]);
  });
});

describe("receiving", () => {
  test("after the start every second full segment is acknowledged at once, a single one after 40 ms", () => {
    const script = Script.accepted();
    for (let i = 0; i < 16; i++) script.send({ payload: full(1) }); // quick ACKs of the start
    script.out();
    script.send({ payload: full(1) });
    expect(script.out()).toEqual([]);
    script.send({ payload: full(1) });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 1 + 18 * MSS }]);
    script.send({ payload: "z" });
    const [late] = script.wait(200);
    expect(late).toMatchObject({ flags: "A", ack: 2 + 18 * MSS });
    expect(late!.at - (script.now - 200)).toBe(40);
  });

  test("out-of-order data is acknowledged one for one, with the newest block first", () => {
    const script = Script.accepted();
    script.send({ seq: 11, payload: "k".repeat(10) });
    script.send({ seq: 31, payload: "k".repeat(10) });
    script.send({ seq: 51, payload: "k".repeat(10) });
    expect(script.out().map((s) => s.sack)).toEqual([
      [[11, 21]],
      [
        [31, 41],
        [11, 21],
      ],
      [
        [51, 61],
        [31, 41],
        [11, 21],
      ],
    ]);
    script.send({ seq: 1, payload: "a".repeat(10) });
    expect(script.out()).toMatchObject([{ ack: 21 }]);
    expect(script.received).toBe("a".repeat(10) + "k".repeat(10));
  });

  test("duplicates are reported: below the acknowledgment and inside a block (RFC 2883)", () => {
    const script = Script.accepted();
    script.send({ payload: "0123456789" });
    script.out();
    script.send({ seq: 1, payload: "0123456789" });
    expect(script.out()).toMatchObject([{ ack: 11, sack: [[1, 11]] }]);
    script.send({ seq: 21, payload: "k".repeat(10) });
    script.out();
    script.send({ seq: 21, payload: "k".repeat(10) });
    const [report] = script.out();
    expect(report!.sack).toEqual([
      [21, 31],
      [21, 31],
    ]);
  });

  test("a segment that overlaps what was received yields its new part only", () => {
    const script = Script.accepted();
    script.send({ payload: "abcdef" });
    script.send({ seq: 4, payload: "defghi" });
    script.out();
    expect(script.received).toBe("abcdefghi");
  });

  test("an old timestamp is dropped but acknowledged (PAWS), a segment without one is ignored", () => {
    const script = Script.accepted();
    script.send({ payload: "new" });
    script.out();
    script.send({ payload: "old", timestamps: [script.now - 5000, 0] });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 4 }]);
    script.peerNext = 4;
    script.send({ payload: "non", timestamps: null });
    expect(script.out()).toEqual([]);
    expect(script.received).toBe("new");
  });

  test("a segment that was overtaken within a quarter of a second is not treated as old", () => {
    const script = Script.accepted();
    script.send({ payload: "a" });
    script.out();
    script.send({ payload: "b", timestamps: [script.now - 250, 0] });
    script.out();
    expect(script.received).toBe("ab");
  });

  test("a timestamp older than 24 days rejects nothing", () => {
    const script = Script.accepted();
    script.wait(25 * 24 * 3_600_000);
    script.send({ payload: "hi", timestamps: [90_000, 0] });
    script.out();
    expect(script.received).toBe("hi");
  });

  test("the echoed timestamp is that of the segment which the acknowledgment covers", () => {
    const script = Script.accepted();
    script.send({ payload: "a", timestamps: [200_000, 0] });
    expect(script.out()).toMatchObject([{ timestamps: [expect.any(Number), 200_000] }]);
    script.send({ seq: 12, payload: "c", timestamps: [200_007, 0] });
    expect(script.out()).toMatchObject([{ timestamps: [expect.any(Number), 200_000] }]);
  });

  test("the window shrinks as data is not read, never takes back an offer, and reopens in one step", () => {
    const script = Script.accepted({ tcp: { initialReceiveBufferBytes: 10_000, maxReceiveBufferBytes: 10_000 } });
    script.connection.handler.onReadable = () => undefined;
    let edge = 0;
    for (let i = 0; i < 9; i++) {
      script.send({ payload: full(1) });
      for (const ack of script.out()) {
        expect(ack.ack + ack.window).toBeGreaterThanOrEqual(edge);
        edge = ack.ack + ack.window;
      }
    }
    expect(edge).toBeLessThanOrEqual(1 + 10_000);
    expect(script.connection.readableLength).toBeLessThanOrEqual(10_000);
    script.peerNext = 1 + script.connection.readableLength;
    script.send({ payload: full(1), seq: edge });
    script.out();
    expect(script.connection.readableLength).toBe(edge - 1);
    script.connection.read();
    while (script.connection.read() !== undefined);
    const updates = script.out();
    expect(updates).toHaveLength(1);
    expect(updates[0]!.window).toBeGreaterThanOrEqual(9000);
  });
});

describe("sending", () => {
  test("the initial window is ten segments, then two more for each acknowledged one", () => {
    const script = Script.connected();
    script.write(full(40));
    expect(script.out().map((s) => s.length)).toEqual(new Array(10).fill(MSS));
    script.now = (script.now + 3) as typeof script.now; // a round trip too short to be paced
    script.send({ ack: 1 + 2 * MSS });
    expect(script.out()).toHaveLength(4);
  });

  test("the peer's scaled window is respected, and a tiny opening is not used (silly window)", () => {
    const script = Script.connected({ peer: { windowScale: 2, window: 4 * MSS } });
    script.write(full(8));
    expect(script.out()).toHaveLength(4);
    script.send({ ack: 1 + 4 * MSS, window: 25 }); // 100 bytes
    expect(script.out()).toEqual([]);
    script.send({ ack: 1 + 4 * MSS, window: MSS / 4 });
    expect(script.out()).toMatchObject([{ length: MSS }]);
  });

  test("a closed window is probed with growing waits, for as long as the peer answers", () => {
    const script = Script.connected({ options: { userTimeoutMs: 20_000 } });
    script.write(full(2));
    script.out();
    script.send({ ack: 1 + 2 * MSS, window: 0 });
    script.write("more");
    const probes: number[] = [];
    const start = script.now;
    for (let i = 0; i < 600; i++) {
      for (const probe of script.wait(100)) {
        expect(probe).toMatchObject({ flags: "A", seq: 2 * MSS, length: 0 });
        probes.push(probe.at - start);
        script.send({ ack: 1 + 2 * MSS, window: 0 });
      }
    }
    const gaps = probes.map((at, i) => at - (probes[i - 1] ?? 0));
    expect(gaps[1]! / gaps[0]!).toBeCloseTo(2, 0);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(10_000);
    expect(script.connection.state).toBe("ESTABLISHED"); // 60 s, three times the user timeout
    script.send({ ack: 1 + 2 * MSS, window: 100 });
    expect(script.out()).toMatchObject([{ payload: "more" }]);
  });

  test("small writes go out at once; with Nagle they wait for the acknowledgment", () => {
    const lively = Script.connected();
    lively.write("a");
    expect(lively.out()).toHaveLength(1);
    lively.write("b");
    expect(lively.out()).toHaveLength(1);
    const nagle = Script.connected({ options: { noDelay: false } });
    nagle.write("a");
    expect(nagle.out()).toHaveLength(1);
    nagle.write("b");
    nagle.write("c");
    expect(nagle.out()).toEqual([]);
    nagle.send({ ack: 2 });
    expect(nagle.out()).toMatchObject([{ payload: "bc" }]);
  });

  test("a lone segment is probed after two round trips, then timeouts double up to the cap", () => {
    const script = Script.connected();
    script.write("a");
    script.out();
    script.now = (script.now + 100) as typeof script.now;
    script.send({ ack: 2 });
    script.write("b");
    script.out();
    const start = script.now;
    const times = script.wait(60_000).map((s) => s.at - start);
    expect(times[0]!).toBeLessThan(300); // tail loss probe
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    for (let i = 1; i < 4; i++) expect(gaps[i + 1]! / gaps[i]!).toBeCloseTo(2, 1);
    expect(Math.max(...gaps)).toBe(10_000);
  });

  test("three segments acknowledged beyond a hole resend it at once, and only it", () => {
    const script = Script.connected();
    script.write(full(10));
    script.out();
    script.now = (script.now + 3) as typeof script.now;
    const sack = [[1 + MSS, 1 + 4 * MSS]] as const;
    script.send({ ack: 1, sack });
    expect(script.out()).toMatchObject([{ seq: 1, length: MSS }]);
    expect(script.connection.info).toMatchObject({ retransmits: 1, recovery: "recovery" });
  });

  test("slight reordering, once seen, no longer causes retransmissions", () => {
    const script = Script.connected({ rttMs: 40 });
    script.write(full(10));
    script.out();
    script.now = (script.now + 40) as typeof script.now;
    script.send({ ack: 1, sack: [[1 + MSS, 1 + 2 * MSS]] });
    script.send({ ack: 1 + 2 * MSS }); // the original arrived late
    script.out();
    script.now = (script.now + 1) as typeof script.now;
    script.send({ ack: 1 + 2 * MSS, sack: [[1 + 3 * MSS, 1 + 7 * MSS]] });
    expect(script.out().filter((s) => s.seq < 1 + 10 * MSS)).toEqual([]);
    const late = script.wait(30).filter((s) => s.seq === 1 + 2 * MSS);
    expect(late).toHaveLength(1); // a quarter of the round trip later it counts as lost
  });

  test("SACK blocks of an acknowledgment that was overtaken are accepted: a later one may not repeat them", () => {
    const script = Script.connected({ rttMs: 40 });
    script.write(full(10));
    script.out();
    script.now = (script.now + 40) as typeof script.now;
    script.send({ ack: 1 + MSS });
    script.send({ ack: 1, sack: [[1 + 2 * MSS, 1 + 5 * MSS]] });
    expect(script.connection.info.bytesInFlight).toBe(5 * MSS); // three SACKed, the one before them lost
  });

  test("an acknowledgment of the original after a timeout undoes the reduction (Eifel)", () => {
    const script = Script.connected();
    script.write("a");
    script.out();
    script.now = (script.now + 50) as typeof script.now;
    script.send({ ack: 2 });
    script.write(full(8));
    const [first] = script.out();
    const before = script.connection.info.cwnd;
    script.wait(600); // probe and timeout
    expect(script.connection.info).toMatchObject({ recovery: "loss", cwnd: MSS });
    script.send({ ack: 2 + MSS, timestamps: [script.now, first!.timestamps![0]] });
    script.out();
    expect(script.connection.info).toMatchObject({ recovery: "open", spuriousRecoveries: 1 });
    expect(script.connection.info.cwnd).toBeGreaterThanOrEqual(before);
  });

  test("onWritable comes when a third of the buffer is free again, after a short write only", () => {
    const script = Script.connected({ options: { maxSendBufferBytes: 9000 } });
    expect(script.write("w".repeat(20_000))).toBe(9000);
    expect(script.write("w")).toBe(0);
    script.out();
    script.now = (script.now + 2) as typeof script.now;
    script.send({ ack: 1 + 2 * MSS });
    script.out();
    expect(script.events).toEqual(["connected"]);
    script.send({ ack: 1 + 3 * MSS });
    script.out();
    expect(script.events).toEqual(["connected", "writable"]);
    script.send({ ack: 1 + 4 * MSS });
    script.out();
    expect(script.events).toEqual(["connected", "writable"]);
  });

  test("after a pause the window starts at ten segments again", () => {
    const script = Script.connected();
    script.write(full(100));
    for (let sent = script.out().length, acked = 0; acked < 100; ) {
      script.now = (script.now + 2) as typeof script.now;
      acked = sent;
      script.send({ ack: 1 + acked * MSS });
      sent += script.out().length;
    }
    expect(script.connection.info.cwnd).toBeGreaterThan(50 * MSS);
    script.wait(60_000);
    script.write(full(50));
    expect(script.out()).toHaveLength(10);
  });

  test("an absurdly small MSS is raised to 64 bytes", () => {
    const script = Script.connected({ peer: { mss: 1 } });
    script.write("x".repeat(128));
    expect(script.out().map((s) => s.length)).toEqual([64, 64]);
  });
});

describe("closing", () => {
  test("end sends FIN after the data; reading continues until the peer ends too", () => {
    const script = Script.connected();
    script.write("bye");
    script.connection.end();
    expect(script.out()).toMatchObject([{ flags: "FPA", payload: "bye" }]);
    script.send({ ack: 5 });
    expect(script.connection.state).toBe("FIN_WAIT_2");
    script.send({ payload: "still here" });
    script.out();
    expect(script.received).toBe("still here");
    script.send({ flags: "FA" });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 12 }]);
    expect(script.connection.state).toBe("TIME_WAIT");
    expect(script.events).toEqual(["connected", "readable", "end", "closed"]);
    expect(script.write("no")).toBe(0);
    script.wait(10_001);
    expect(script.connection.state).toBe("CLOSED");
    expect(script.stack.connectionCount).toBe(0);
  });

  test("when the peer ends first we may continue writing, and end without TIME_WAIT", () => {
    const script = Script.accepted();
    script.send({ flags: "FA" });
    script.out();
    expect(script.connection.state).toBe("CLOSE_WAIT");
    expect(script.events).toEqual(["connected", "end"]);
    script.write("last words");
    script.connection.end();
    expect(script.out()).toMatchObject([{ flags: "FPA", payload: "last words" }]);
    expect(script.connection.state).toBe("LAST_ACK");
    script.send({ ack: 12 });
    script.out();
    expect(script.events).toEqual(["connected", "end", "closed"]);
    expect(script.stack.connectionCount).toBe(0);
  });

  test("a reset in answer to our last FIN is not an error, unless data is still unacknowledged", () => {
    for (const acked of [true, false]) {
      const script = Script.accepted();
      script.send({ flags: "FA" });
      script.write("last words");
      script.out();
      if (acked) script.send({ ack: 11 });
      script.connection.end();
      script.out();
      script.send({ flags: "R", seq: 2 });
      script.out();
      expect(script.events.at(-1)).toBe(acked ? "closed" : "closed ERR_CONNECTION_RESET");
    }
  });

  test("FINs that cross lead through CLOSING", () => {
    const script = Script.connected();
    script.connection.end();
    script.out();
    script.send({ flags: "FA", ack: 1 });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 2 }]);
    expect(script.connection.state).toBe("CLOSING");
    script.send({ ack: 2 });
    expect(script.connection.state).toBe("TIME_WAIT");
  });

  test("a FIN that arrives before the data waits for it", () => {
    const script = Script.connected();
    script.send({ flags: "FA", seq: 4, payload: "def" });
    script.out();
    expect(script.events).toEqual(["connected"]);
    script.send({ seq: 1, payload: "abc" });
    expect(script.out().at(-1)).toMatchObject({ ack: 8 });
    expect(script.received).toBe("abcdef");
    expect(script.events).toEqual(["connected", "readable", "end"]);
  });

  test("onEnd and onClosed wait until everything was read", () => {
    const script = Script.connected();
    script.connection.handler.onReadable = () => undefined;
    script.connection.end();
    script.out();
    script.send({ flags: "FA", ack: 2, payload: "unread" });
    script.out();
    expect(script.connection.state).toBe("TIME_WAIT");
    expect(script.events).toEqual(["connected"]);
    expect(script.connection.read()).toHaveLength(6);
    script.out();
    expect(script.events).toEqual(["connected", "end", "closed"]);
  });

  test("a FIN repeated in TIME_WAIT is acknowledged and restarts the wait", () => {
    const script = Script.connected();
    script.connection.end();
    script.out();
    script.send({ flags: "FA", ack: 2 });
    script.out();
    script.wait(8000);
    script.send({ flags: "FA", seq: 1, ack: 2 });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 2 }]);
    script.wait(8000);
    expect(script.connection.state).toBe("TIME_WAIT");
  });

  test("a newer SYN takes over a connection in TIME_WAIT, an older one does not", () => {
    const script = Script.accepted();
    script.connection.end();
    script.out();
    script.send({ flags: "FA", ack: 2 });
    script.out();
    expect(script.connection.state).toBe("TIME_WAIT");
    const old = script.connection;
    script.send({ flags: "S", seq: 50, ...script.offer(), timestamps: [1, 0] });
    script.out();
    expect(script.connection).toBe(old);
    script.now = (script.now + 10) as typeof script.now;
    script.send({ flags: "S", seq: 50_000, ...script.offer() });
    expect(script.out()).toMatchObject([{ flags: "SA", ack: 50_001 }]);
    expect(script.connection).not.toBe(old);
  });

  test("the number of connections in TIME_WAIT is bounded", () => {
    const script = new Script(tcp({ maxTimeWait: 3 }));
    script.listen();
    for (let i = 0; i < 6; i++) {
      Object.assign(script, { peerPort: 50_000 + i, peerNext: 0, peerAck: 0 });
      script.send({ flags: "S", ...script.offer() });
      const packets = script.stack.flush(script.now);
      expect(packets).toBe(false);
      const synAck = script.host.output.take()[0]!;
      script.iss = new DataView(synAck.buffer, synAck.byteOffset).getUint32(44);
      script.peerAck = 1;
      script.send({});
      script.connection.end();
      script.stack.flush(script.now);
      script.host.output.take();
      script.send({ flags: "FA", ack: 2 });
      expect(script.connection.state).toBe("TIME_WAIT");
      script.stack.flush(script.now);
      script.host.output.take();
    }
    expect(script.stack.connectionCount).toBe(3);
  });

  test("abort sends a reset and reports it", () => {
    const script = Script.connected();
    script.write("gone");
    script.connection.abort();
    expect(script.out()).toMatchObject([{ flags: "RA", seq: 1 }]);
    expect(script.events).toEqual(["connected", "closed ERR_ABORTED"]);
    expect(script.stack.connectionCount).toBe(0);
    expect(script.stack.nextTimeout()).toBeUndefined();
  });
});

describe("attacks (RFC 5961)", () => {
  test("only a reset with exactly the next number resets; one in the window is challenged, others are ignored", () => {
    const script = Script.connected();
    script.send({ flags: "R", seq: 200 });
    expect(script.out()).toMatchObject([{ flags: "A", seq: 1, ack: 1 }]);
    script.send({ flags: "R", seq: -5 });
    script.send({ flags: "R", seq: 1_000_000_000 });
    expect(script.out()).toEqual([]);
    expect(script.connection.state).toBe("ESTABLISHED");
    script.send({ flags: "R", seq: 1 });
    script.out();
    expect(script.events).toEqual(["connected", "closed ERR_CONNECTION_RESET"]);
  });

  test("a SYN on an established connection is challenged, whatever its number", () => {
    const script = Script.connected();
    for (const seq of [0, 1, 500]) {
      script.send({ flags: "S", seq, ...script.offer() });
      expect(script.out()).toMatchObject([{ flags: "A", seq: 1, ack: 1 }]);
    }
    expect(script.connection.state).toBe("ESTABLISHED");
  });

  test("data with an acknowledgment of what was never sent, or long ago, is ignored", () => {
    const script = Script.connected();
    script.send({ ack: 5, payload: "evil" });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 1 }]);
    script.peerNext = 1;
    script.send({ ack: -200_000_000, payload: "evil" });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 1 }]);
    expect(script.received).toBe("");
  });

  test("challenge ACKs are limited to 100 per second", () => {
    const script = Script.connected();
    let answers = 0;
    for (let i = 0; i < 500; i++) {
      script.send({ flags: "R", seq: 100 + i });
      answers += script.out().length;
    }
    expect(answers).toBe(100);
    script.wait(1000);
    script.send({ flags: "R", seq: 100 });
    expect(script.out()).toHaveLength(1);
  });

  test("empty segments outside the window get a bounded number of answers, so two confused ends cannot loop", () => {
    const script = Script.connected();
    let answers = 0;
    for (let i = 0; i < 200; i++) {
      script.send({ seq: -100 });
      answers += script.out().length;
    }
    expect(answers).toBe(10);
  });
});

describe("keeping alive and giving up", () => {
  const keepalive = { keepaliveIdleMs: 60_000, keepaliveIntervalMs: 5000, keepaliveCount: 3 };

  test("an idle connection is probed, and lives as long as the peer answers", () => {
    const script = Script.connected({ options: keepalive });
    const start = script.now;
    const probes = script.wait(61_000);
    expect(probes).toMatchObject([{ flags: "A", seq: 0, length: 0 }]);
    expect(probes[0]!.at - start).toBe(60_000);
    script.send({ ack: 1 });
    expect(script.wait(59_000)).toEqual([]);
    expect(script.wait(20_000)).toHaveLength(4); // three probes and the reset
    expect(script.events).toEqual(["connected", "closed ERR_CONNECTION_TIMEOUT"]);
  });

  test("without the option nothing is sent, and the stack has no deadline", () => {
    const script = Script.connected();
    expect(script.wait(24 * 3_600_000)).toEqual([]);
    expect(script.stack.nextTimeout()).toBeUndefined();
  });

  test("unacknowledged data ends the connection after the user timeout", () => {
    const script = Script.connected({ options: { userTimeoutMs: 30_000 } });
    script.write("hello?");
    script.out();
    const start = script.now;
    const sent = script.wait(60_000);
    expect(sent.at(-1)).toMatchObject({ flags: "RA" });
    expect(sent.at(-1)!.at - start).toBe(30_000);
    expect(script.events).toEqual(["connected", "closed ERR_CONNECTION_TIMEOUT"]);
  });

  test("by default retransmission continues for 72 hours, at least every 10 s", () => {
    const script = Script.connected();
    script.write("hello?");
    script.out();
    const sent = script.wait(3_600_000);
    expect(sent.length).toBeGreaterThan(355);
    expect(script.connection.state).toBe("ESTABLISHED");
  });
});
