import { expect, it } from "vitest";
import { OutputFeed } from "./output-feed.ts";

const kiB = (count: number) => new Uint8Array(count * 1024);

/** An emulator that parses only when the test lets it. */
function setUp() {
  const given: { bytes: number; parsed: () => void }[] = [];
  const acks: number[] = [];
  const feed = new OutputFeed({ write: (bytes, parsed) => given.push({ bytes: bytes.length, parsed }) }, (sum) =>
    acks.push(sum),
  );
  const parseAll = () => {
    while (given.length > 0) given.shift()!.parsed();
  };
  return { feed, given, acks, parseAll };
}

it("gives the emulator little ahead, and acknowledges what it parsed", () => {
  const { feed, given, acks, parseAll } = setUp();
  feed.push(kiB(1024));
  expect(given.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(128 * 1024);
  expect(feed.waiting).toBe(1024 * 1024);
  parseAll();
  expect(feed.waiting).toBe(0);
  expect(acks.at(-1)).toBe(1024 * 1024);
  expect(acks.length).toBe(16);
});

it("calls back in order with the output", () => {
  const { feed, given, parseAll } = setUp();
  const order: string[] = [];
  feed.push(kiB(200));
  feed.after(() => order.push(`after ${feed.waiting}`));
  feed.push(kiB(1));
  expect(order).toEqual([]);
  while (order.length === 0) given.shift()!.parsed();
  expect(order).toEqual(["after 1024"]);
  parseAll();
  expect(feed.waiting).toBe(0);
});

it("drops what waits, acknowledges it, and keeps callbacks", () => {
  const { feed, acks, parseAll } = setUp();
  let called = false;
  feed.push(kiB(2048));
  feed.after(() => {
    called = true;
  });
  expect(feed.drop()).toBe((2048 - 128) * 1024);
  parseAll();
  expect(called).toBe(true);
  expect(acks.at(-1)).toBe(2048 * 1024);
});

it("an earlier connection's output counts for no later one", () => {
  const { feed, acks, given } = setUp();
  feed.push(kiB(100));
  const before = given.splice(0);
  let called = false;
  feed.after(() => {
    called = true;
  });
  feed.restart();
  for (const { parsed } of [...before, ...given.splice(0)]) parsed();
  expect([acks, called, feed.waiting]).toEqual([[], false, 0]);
  feed.push(kiB(64));
  for (const { parsed } of given.splice(0)) parsed();
  expect(acks).toEqual([64 * 1024]);
});
