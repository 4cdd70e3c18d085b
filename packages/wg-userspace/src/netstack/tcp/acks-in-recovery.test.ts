/** What an acknowledgment changes during a recovery, at its end, and outside one: which window grows, and how much is sent. */
import { describe, expect, test } from "vitest";
import { Script, type ScriptOptions, tcp } from "../../../test/scenarios/tcp-script.ts";

const MSS = 1208; // 1280 - 40 - 20 - 12
const full = (count: number) => "x".repeat(MSS * count);
/** Position of the segment with that number, the first being 0. */
const edge = (segments: number) => 1 + segments * MSS;
/** Reno halves its window at a loss. */
const reno = tcp({ congestion: "reno" });

/** Connected over a path of 100 ms, with ten full segments just sent and no more to send. */
function tenSent(options: ScriptOptions = reno): Script {
  const script = Script.connected({ rttMs: 100, ...options });
  script.write(full(10));
  expect(script.out()).toHaveLength(10);
  return script;
}
/** Numbers of the segments that are sent within 100 ms. */
function sent(script: Script): number[] {
  return script.wait(100).map(({ seq }) => (seq - 1) / MSS);
}
/** Everything up to a segment is acknowledged, 100 ms after it was sent. */
function acknowledged(script: Script, segments: number): void {
  script.send({ ack: edge(segments) });
  script.out();
}

describe("during a recovery (RFC 6937, safe acknowledgments)", () => {
  /** Seven of ten are lost; three are sent again for the three that arrived. */
  function sevenLost(): Script {
    const script = tenSent();
    sent(script);
    script.send({ ack: 1, sack: [[edge(7), edge(10)]] });
    expect(script.connection.info.recovery).toBe("recovery");
    expect(sent(script)).toEqual([0, 1, 2]);
    sent(script);
    return script;
  }

  test("an acknowledgment of new data without a further loss lets out one segment more than arrived", () => {
    const script = sevenLost();
    script.send({ ack: edge(1), sack: [[edge(7), edge(10)]] });
    expect(sent(script)).toEqual([3, 4]);
  });

  test("an acknowledgment that shows a further loss lets out only as much as arrived", () => {
    const script = sevenLost();
    script.send({
      ack: edge(1),
      sack: [
        [edge(2), edge(3)],
        [edge(7), edge(10)],
      ],
    });
    expect(sent(script)).toEqual([1, 3]);
  });

  test("an acknowledgment that only reports a segment beyond the hole lets out only as much as arrived", () => {
    const script = tenSent();
    sent(script);
    script.send({ ack: 1, sack: [[edge(6), edge(9)]] });
    expect(sent(script)).toEqual([0, 1, 2]);
    script.send({ ack: 1, sack: [[edge(6), edge(10)]] });
    expect(sent(script)).toEqual([3]);
  });
});

describe("the window", () => {
  test("grows in slow start when half of it was used, and not below (RFC 7661)", () => {
    for (const [segments, cwnd] of [
      [4, 10],
      [5, 15],
    ] as const) {
      const script = Script.connected({ rttMs: 100, ...reno });
      script.write(full(segments));
      sent(script);
      acknowledged(script, segments);
      expect([segments, script.connection.info.cwnd / MSS]).toEqual([segments, cwnd]);
    }
  });

  /** One of ten was lost, and repaired: the window is five segments. */
  function halved(): Script {
    const script = tenSent();
    sent(script);
    script.send({ ack: 1, sack: [[edge(1), edge(10)]] });
    expect(sent(script)).toEqual([0]);
    acknowledged(script, 10);
    return script;
  }

  test("does not grow after slow start while only a part of it is used", () => {
    const script = halved();
    expect(script.connection.info).toMatchObject({ recovery: "open", cwnd: 5 * MSS, ssthresh: 5 * MSS });
    script.write(full(4));
    expect(sent(script)).toHaveLength(4);
    acknowledged(script, 14);
    expect(script.connection.info.cwnd).toBe(5 * MSS);
  });

  test("grows with the next acknowledgment after it was full while data waited", () => {
    const script = halved();
    script.write(full(6));
    expect(sent(script)).toHaveLength(5);
    script.send({ ack: edge(15) });
    expect(sent(script)).toEqual([15]);
    expect(script.connection.info.cwnd).toBe(6 * MSS);
    acknowledged(script, 16);
    expect(script.connection.info.cwnd).toBeGreaterThan(6 * MSS);
  });
});
