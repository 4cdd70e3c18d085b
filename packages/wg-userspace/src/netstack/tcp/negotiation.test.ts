import { describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { ACK, TcpSegment } from "../wire/tcp.ts";
import { Negotiation } from "./negotiation.ts";
import { TCP_DEFAULTS } from "./options.ts";

const EVERYTHING = {
  irs: 1,
  window: 1,
  mss: 1220,
  windowScale: 0,
  sackPermitted: true,
  hasTimestamps: true,
  tsValue: 0,
};

function syn(fields: Partial<TcpSegment>): TcpSegment {
  return Object.assign(new TcpSegment(), fields);
}
const offers = ({ scaling, sack, timestamps }: Negotiation) => [scaling, sack, timestamps];

describe("the options of a connection", () => {
  test("are those that the stack is allowed and the peer's SYN offers", () => {
    expect(offers(new Negotiation(TCP_DEFAULTS, undefined, 0))).toEqual([true, true, true]);
    expect(offers(new Negotiation(TCP_DEFAULTS, EVERYTHING, 0))).toEqual([true, true, true]);
    const nothing = { ...EVERYTHING, windowScale: -1, sackPermitted: false, hasTimestamps: false };
    expect(offers(new Negotiation(TCP_DEFAULTS, nothing, 0))).toEqual([false, false, false]);
    const forbidden = { ...TCP_DEFAULTS, windowScaling: false, sack: false, timestamps: false };
    expect(offers(new Negotiation(forbidden, EVERYTHING, 0))).toEqual([false, false, false]);
    expect(offers(new Negotiation(forbidden, undefined, 0))).toEqual([false, false, false]);
  });

  test("lose what the answer to our SYN does not offer, and gain nothing", () => {
    const all = { windowScale: 0, sackPermitted: true, hasTimestamps: true };
    for (const [missing, left] of [
      [{}, [true, true, true]],
      [{ windowScale: -1 }, [false, true, true]],
      [{ sackPermitted: false }, [true, false, true]],
      [{ hasTimestamps: false }, [true, true, false]],
    ] as const) {
      const negotiation = new Negotiation(TCP_DEFAULTS, undefined, 0);
      negotiation.answered(syn({ ...all, ...missing }));
      expect(offers(negotiation)).toEqual(left);
    }
    const forbidden = { ...TCP_DEFAULTS, windowScaling: false, sack: false, timestamps: false };
    const negotiation = new Negotiation(forbidden, undefined, 0);
    negotiation.answered(syn(all));
    expect(offers(negotiation)).toEqual([false, false, false]);
  });
});

describe("timestamps (RFC 7323)", () => {
  const negotiation = new Negotiation(TCP_DEFAULTS, undefined, 0xffff_fff0);
  const echo = (tsEcho: number, more: Partial<TcpSegment> = {}) =>
    syn({ flags: ACK, hasTimestamps: true, tsEcho: tsEcho >>> 0, ...more });

  test("are whole ms from an offset of the connection, modulo 2³²", () => {
    expect(negotiation.timestamp(instant(5.9))).toBe(0xffff_fff5);
    expect(negotiation.timestamp(instant(20))).toBe(4);
  });

  test("tell the age of what a segment answers, across the wrap", () => {
    const now = instant(25.5);
    const sent = negotiation.timestamp(instant(5));
    expect(negotiation.echoAgeMs(echo(sent), now)).toBe(20);
    expect(negotiation.echoedAt(echo(sent), now)).toBe(5);
    expect(negotiation.echoedAt(echo(negotiation.timestamp(now)), now)).toBe(25);
  });

  test("from the future, absent or without ACK tell nothing; one from before the connection counts as its start", () => {
    const now = instant(25);
    const sent = negotiation.timestamp(instant(5));
    expect(negotiation.echoAgeMs(echo(negotiation.timestamp(instant(99))), now)).toBe(-1);
    expect(negotiation.echoedAt(echo(sent, { hasTimestamps: false }), now)).toBe(-1);
    expect(negotiation.echoedAt(echo(sent, { flags: 0 }), now)).toBe(-1);
    expect(negotiation.echoedAt(echo(0xffff_fff0 - 1_000), now)).toBe(0);
    const without = new Negotiation({ ...TCP_DEFAULTS, timestamps: false }, undefined, 0);
    expect(without.echoedAt(echo(5), now)).toBe(-1);
  });
});
