import { describe, expect, test } from "vitest";
import { Script, tcp } from "../../../test/scenarios/tcp-script.ts";
import { addMs } from "../../base/instant.ts";

const MSS = 1208; // 1280 - 40 - 20 - 12
const full = (count: number) => "x".repeat(MSS * count);

describe("SYN_SENT (RFC 9293 §3.10.7.3)", () => {
  test("neither an acknowledgment without SYN nor a segment without both changes anything", () => {
    const script = new Script();
    script.connect();
    script.send({ flags: "A", ack: 1 });
    script.send({ flags: "F" });
    expect(script.out()).toEqual([]);
    expect([script.connection.state, script.events]).toEqual(["SYN_SENT", []]);
  });

  test("a reset that acknowledges something else is ignored, and not answered", () => {
    const script = new Script();
    script.connect();
    script.send({ flags: "RA", ack: 2 });
    script.send({ flags: "R" });
    expect([script.out(), script.connection.state]).toEqual([[], "SYN_SENT"]);
  });

  test("the window of a SYN-ACK is not scaled, that of the next segment is (RFC 7323 §2.2)", () => {
    const script = Script.connected({ peer: { windowScale: 3, window: 1_000 } });
    expect(script.connection.info.peerWindow).toBe(1_000);
    script.send({ ack: 1, window: 1_000 });
    expect(script.connection.info.peerWindow).toBe(8_000);
  });

  test("sends nothing when aborted, since the peer has seen nothing", () => {
    const script = new Script();
    script.connect();
    script.connection.abort();
    script.connection.abort();
    expect(script.out()).toEqual([]);
    expect([script.events, script.stack.connectionCount]).toEqual([["closed ERR_ABORTED"], 0]);
  });

  test("without the peer's MSS option ours is what every IPv6 path carries (RFC 9293 §3.7.1)", () => {
    const script = new Script();
    script.connect();
    expect(script.connection.info.mss).toBe(1208);
    script.send({ flags: "SA", ...script.offer(), mss: 100 });
    expect(script.connection.info.mss).toBe(100 - 12);
  });
});

describe("SYN_RECEIVED", () => {
  function halfOpen(options: ConstructorParameters<typeof Script>[0] = {}): Script {
    const script = new Script(options);
    script.listen();
    script.send({ flags: "S", ...script.offer() });
    script.out();
    expect(script.connection.state).toBe("SYN_RECEIVED");
    return script;
  }

  test("an acknowledgment of anything but our SYN is answered with a reset of its number", () => {
    for (const ack of [0, 2, 1_000]) {
      const script = halfOpen();
      script.send({ ack });
      expect(script.out()).toMatchObject([{ flags: "R", seq: ack, length: 0 }]);
      expect(script.connection.state).toBe("SYN_RECEIVED");
    }
  });

  test("a reset with the next number means that the connection is refused", () => {
    const script = halfOpen();
    script.send({ flags: "R", seq: 1 });
    expect(script.out()).toEqual([]);
    expect(script.events).toEqual(["closed ERR_CONNECTION_REFUSED"]);
  });

  test("a handshake that is not finished in time ends in a reset", () => {
    const script = halfOpen({ options: { connectTimeoutMs: 5_000 } });
    const start = script.now;
    const sent = script.wait(20_000);
    expect(sent.map(({ flags, at }) => [flags, at - start])).toEqual([
      ["SA", 1_000],
      ["SA", 3_000],
      ["RA", 5_000],
    ]);
    expect([script.events, script.stack.connectionCount]).toEqual([["closed ERR_CONNECTION_TIMEOUT"], 0]);
  });

  test("data with the last acknowledgment of the handshake is taken", () => {
    const script = halfOpen();
    script.send({ payload: "hello" });
    expect(script.out()).toMatchObject([{ flags: "A", ack: 6 }]);
    expect([script.received, script.events]).toEqual(["hello", ["connected", "readable"]]);
  });

  test("a FIN with the last acknowledgment of the handshake leads to CLOSE_WAIT", () => {
    const script = halfOpen();
    script.send({ flags: "FA", payload: "bye" });
    expect(script.out()).toMatchObject([{ ack: 5 }]);
    expect([script.connection.state, script.events]).toEqual(["CLOSE_WAIT", ["connected", "readable", "end"]]);
  });

  test("earlier writes are sent at the end of the handshake", () => {
    const script = halfOpen();
    script.write("early");
    script.connection.end();
    expect(script.out()).toEqual([]);
    script.send({});
    expect(script.out()).toMatchObject([{ flags: "FPA", payload: "early" }]);
    expect(script.connection.state).toBe("FIN_WAIT_1");
  });

  test("sends a reset when aborted", () => {
    const script = halfOpen();
    script.connection.abort();
    expect(script.out()).toMatchObject([{ flags: "RA", seq: 1, ack: 1, window: 0 }]);
  });

  test("a finished handshake makes room in the backlog, and so does a failed one", () => {
    for (const end of [{}, { flags: "R", seq: 1 }]) {
      const script = new Script();
      script.stack.listenTcp({ port: 80, backlog: 1 }, { onRequest: (request) => script.accept(request) });
      script.send({ flags: "S", ...script.offer() });
      script.out();
      script.send(end);
      script.out();
      Object.assign(script, { peerPort: 40_001, peerNext: 0 });
      script.send({ flags: "S", ...script.offer() });
      expect(script.stack.drops.counts["queue-full"]).toBeUndefined();
    }
  });
});

describe("the statistics of a connection", () => {
  test("at rest", () => {
    const script = Script.connected({ rttMs: 20 });
    expect(script.connection.info).toStrictEqual({
      state: "ESTABLISHED",
      congestion: "cubic",
      srttMs: 20,
      rttvarMs: 10,
      minRttMs: 20,
      rtoMs: expect.any(Number),
      cwnd: 10 * MSS,
      ssthresh: Number.POSITIVE_INFINITY,
      bytesInFlight: 0,
      peerWindow: 65_535,
      mss: MSS,
      recovery: "open",
      retransmits: 0,
      spuriousRecoveries: 0,
      reorderWindowMs: 5,
      bytesSent: 0,
      bytesReceived: 0,
      sendBuffer: { limit: expect.any(Number), used: 0, memory: 0 },
      receiveBuffer: { limit: expect.any(Number), used: 0, memory: 0 },
    });
  });

  test("bytes sent and received are payload: neither SYN nor FIN counts", () => {
    const script = Script.connected();
    script.connection.handler.onReadable = () => undefined;
    script.write("12345");
    script.connection.end();
    script.out();
    script.send({ payload: "abc", flags: "FA" });
    script.out();
    const { info } = script.connection;
    expect([info.bytesSent, info.bytesReceived, info.sendBuffer.used, info.receiveBuffer.used]).toEqual([5, 3, 0, 3]);
  });
});

describe("writing", () => {
  test("fills the buffer, and the rest is not accepted", () => {
    const script = Script.connected({ options: { maxSendBufferBytes: 100 } });
    expect([script.connection.writableLength, script.write("")]).toEqual([100, 0]);
    expect([script.write("x".repeat(60)), script.connection.writableLength]).toEqual([60, 40]);
    expect([script.write("x".repeat(60)), script.connection.writableLength]).toEqual([40, 0]);
    expect(script.out().map(({ length }) => length)).toEqual([100]);
    script.send({});
    script.out();
    expect(script.events).toEqual(["connected", "writable"]);
    expect(script.connection.writableLength).toBe(100);
  });

  test("ends with end(), in every state", () => {
    const script = Script.connected();
    script.connection.end();
    script.connection.end();
    expect([script.write("x"), script.connection.writableLength]).toEqual([0, 0]);
    expect(script.out()).toMatchObject([{ flags: "FA", seq: 1, length: 0 }]);
    script.send({});
    expect(script.connection.state).toBe("FIN_WAIT_2");
    expect(script.write("x")).toBe(0);
  });

  test("the last segment of the buffered data has PSH set", () => {
    const script = Script.connected();
    script.write(full(2));
    expect(script.out().map(({ flags }) => flags)).toEqual(["A", "PA"]);
  });

  test("a FIN that was lost is sent again", () => {
    const script = Script.connected();
    script.connection.end();
    script.out();
    const again = script.wait(3_000);
    expect(again[0]).toMatchObject({ flags: "FA", seq: 1 });
    script.send({ ack: 2 });
    expect(script.connection.state).toBe("FIN_WAIT_2");
  });

  test("a FIN that the window has no room for waits", () => {
    const script = Script.connected({ peer: { windowScale: 0, window: 5 } });
    script.write("12345");
    script.connection.end();
    expect(script.out()).toMatchObject([{ flags: "PA", length: 5 }]);
    script.send({ window: 5 });
    expect(script.out()).toMatchObject([{ flags: "FA", seq: 6, length: 0 }]);
  });
});

describe("acknowledgments", () => {
  test("ride on data that goes the other way", () => {
    const script = Script.accepted();
    for (let i = 0; i < 16; i++) script.send({ payload: "x" });
    script.out();
    script.send({ payload: "y" });
    expect(script.out()).toEqual([]);
    script.write("answer");
    expect(script.out()).toMatchObject([{ payload: "answer", ack: 18 }]);
    expect(script.wait(39)).toEqual([]);
    script.send({});
    expect(script.wait(1_000)).toEqual([]);
  });

  test("after a second without data every segment is acknowledged at once again", () => {
    const script = Script.accepted();
    for (let i = 0; i < 16; i++) script.send({ payload: "x" });
    script.out();
    script.now = addMs(script.now, 1_000);
    script.send({ payload: "x" });
    expect(script.out()).toEqual([]);
    script.wait(40);
    script.now = addMs(script.now, 961);
    script.send({ payload: "x" });
    expect(script.out()).toHaveLength(1);
  });

  test("data behind the window is cut off", () => {
    const script = Script.accepted(tcp({ initialReceiveBufferBytes: 1_000, maxReceiveBufferBytes: 1_000 }));
    script.connection.handler.onReadable = () => undefined;
    script.send({ payload: "x".repeat(1_100) });
    expect(script.out()).toMatchObject([{ ack: 1_001, window: 0 }]);
    script.send({ seq: 1_001, payload: "x" });
    expect(script.out()).toMatchObject([{ ack: 1_001 }]);
    expect(script.connection.readableLength).toBe(1_000);
  });

  test("a segment that lies before the window is acknowledged, and its data named a duplicate", () => {
    const script = Script.accepted();
    script.send({ payload: "0123456789" });
    script.out();
    script.send({ seq: 1, payload: "01234" });
    expect(script.out()).toMatchObject([{ ack: 11, sack: [[1, 6]] }]);
    expect(script.received).toBe("0123456789");
  });

  test("a segment without ACK is ignored, including its data", () => {
    const script = Script.accepted();
    script.send({ flags: "P", payload: "x" });
    expect([script.out(), script.received]).toEqual([[], ""]);
  });

  test("a closed window lets acknowledgments in", () => {
    const script = Script.accepted(tcp({ initialReceiveBufferBytes: 1_000, maxReceiveBufferBytes: 1_000 }));
    script.connection.handler.onReadable = () => undefined;
    script.send({ payload: "x".repeat(1_000) });
    script.out();
    script.write("abc");
    script.out();
    script.send({ seq: 1_001, ack: 4 });
    expect(script.connection.info.bytesInFlight).toBe(0);
  });
});

describe("closing", () => {
  test("TIME_WAIT ignores resets (RFC 1337)", () => {
    const script = Script.connected();
    script.connection.end();
    script.out();
    script.send({ flags: "FA" });
    script.out();
    script.send({ flags: "R", seq: 2 });
    expect([script.out(), script.connection.state]).toEqual([[], "TIME_WAIT"]);
  });

  test("a connection aborted in TIME_WAIT ends silently", () => {
    const script = Script.connected();
    script.connection.end();
    script.out();
    script.send({ flags: "FA" });
    script.out();
    expect([script.connection.open, script.events.at(-1)]).toEqual([false, "closed"]);
    script.connection.abort();
    expect([script.out(), script.connection.state, script.stack.connectionCount]).toEqual([[], "CLOSED", 0]);
    expect(script.events.filter((event) => event.startsWith("closed"))).toEqual(["closed"]);
  });

  test("data after the peer's FIN is ignored", () => {
    const script = Script.connected();
    script.send({ flags: "FA", payload: "abc" });
    script.out();
    script.send({ seq: 5, payload: "more" });
    expect(script.out()).toMatchObject([{ ack: 5 }]);
    expect(script.received).toBe("abc");
  });

  test("a repeated FIN in CLOSE_WAIT is acknowledged again, and ends once", () => {
    const script = Script.connected();
    script.send({ flags: "FA" });
    script.out();
    script.send({ flags: "FA", seq: 1 });
    expect(script.out()).toMatchObject([{ ack: 2 }]);
    expect(script.events).toEqual(["connected", "end"]);
  });

  test("a failure does not wait for the reader", () => {
    const script = Script.connected();
    script.connection.handler.onReadable = () => undefined;
    script.send({ payload: "unread" });
    script.send({ flags: "R" });
    script.out();
    expect(script.events).toEqual(["connected", "closed ERR_CONNECTION_RESET"]);
    expect(script.connection.open).toBe(false);
  });

  test("a reset waits for a slot", () => {
    const script = Script.connected({ slots: 1 });
    const other = script.stack.bindUdp({ port: 5 }, { onDatagram: () => undefined });
    other.send({ address: script.peerAddress, port: 5 }, new Uint8Array(1), script.now);
    script.connection.abort();
    expect(script.stack.flush(script.now)).toBe(true);
    script.host.output.take();
    expect(script.out()).toMatchObject([{ flags: "RA" }]);
    expect(script.out()).toEqual([]);
  });

  test("a connection aborted in TIME_WAIT still delivers what arrived, and no error", () => {
    const script = Script.connected();
    script.connection.handler.onReadable = () => undefined;
    script.connection.end();
    script.out();
    script.send({ flags: "FA", payload: "unread" });
    script.out();
    script.connection.abort();
    script.out();
    expect(script.events).toEqual(["connected"]);
    expect(script.connection.read()).toHaveLength(6);
    script.out();
    expect(script.events).toEqual(["connected", "end", "closed"]);
  });

  test("without timestamps a SYN beyond the last number takes over TIME_WAIT, one before it does not", () => {
    for (const [seq, takes] of [
      [2, false],
      [3, true],
    ] as const) {
      const script = Script.accepted({ peer: { timestamps: false } });
      script.connection.end();
      script.out();
      script.send({ flags: "FA" });
      script.out();
      const old = script.connection;
      script.send({ flags: "S", seq, ...script.offer() });
      script.out();
      expect(script.connection !== old).toBe(takes);
    }
  });
});

describe("another path", () => {
  test("a change of the network sends what is outstanding and repeats the acknowledgment", () => {
    const script = Script.connected();
    script.stack.networkChanged(script.now);
    expect(script.out()).toMatchObject([{ flags: "A", seq: 1, ack: 1, length: 0 }]);
    script.write(full(3));
    script.out();
    script.stack.networkChanged(script.now);
    expect(script.out()).toMatchObject([{ seq: 1, length: MSS }]);
    script.stack.networkChanged(script.now, () => false);
    expect(script.out()).toEqual([]);
  });

  test("a change of the network sends nothing in TIME_WAIT, and only the SYN in SYN_SENT", () => {
    const closing = Script.connected();
    closing.connection.end();
    closing.out();
    closing.send({ flags: "FA" });
    closing.out();
    closing.stack.networkChanged(closing.now);
    expect(closing.out()).toEqual([]);
    const opening = new Script();
    opening.connect();
    opening.stack.networkChanged(opening.now);
    expect(opening.out()).toMatchObject([{ flags: "S" }]);
  });

  test("a move without loss repeats nothing", () => {
    const script = Script.connected();
    script.write(full(3));
    script.out();
    script.stack.pathMoved(script.now, () => true);
    expect(script.out()).toEqual([]);
    script.stack.setMtu(1_000);
    script.send({});
    script.write(full(1));
    expect(script.out().map(({ length }) => length)).toEqual([1_000 - 72, MSS - (1_000 - 72)]);
  });
});

describe("keepalive (RFC 9293 §3.8.4)", () => {
  const options = { keepaliveIdleMs: 60_000, keepaliveIntervalMs: 5_000, keepaliveCount: 2 };

  test("begins an idle time after the last segment of the peer", () => {
    const script = Script.connected({ options });
    const start = script.now;
    script.wait(30_000);
    script.send({});
    const probes = script.wait(61_000);
    expect(probes.map(({ at, seq }) => [at - start, seq])).toEqual([[90_000, 0]]);
  });

  test("gives up after the last probe's interval, with a reset", () => {
    const script = Script.connected({ options });
    const start = script.now;
    expect(script.wait(200_000).map(({ at, flags }) => [at - start, flags])).toEqual([
      [60_000, "A"],
      [65_000, "A"],
      [70_000, "RA"],
    ]);
  });

  test("a single answer restarts the count", () => {
    const script = Script.connected({ options });
    expect(script.wait(66_000)).toHaveLength(2);
    script.send({});
    const start = script.now;
    expect(script.wait(70_000).map(({ at }) => at - start)).toEqual([60_000, 65_000, 70_000]);
  });

  test("leaves detection to retransmissions while data is outstanding", () => {
    const script = Script.connected({ options: { ...options, userTimeoutMs: 600_000 } });
    script.write("x");
    const sent = script.wait(120_000);
    expect(sent.every(({ payload }) => payload === "x")).toBe(true);
    expect(script.connection.state).toBe("ESTABLISHED");
  });
});
