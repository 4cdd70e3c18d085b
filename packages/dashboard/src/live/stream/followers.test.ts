import { expect, test } from "vitest";
import type { ApiError } from "../../api/client.ts";
import { type Follower, Followers } from "./followers.ts";
import type { FromTab } from "./messages.ts";

const LIST = { topic: "workspaces", args: { q: "" } } as const;
const KEY = 'workspaces {"q":""}';

function setUp() {
  const posted: FromTab[] = [];
  const followers = new Followers((message) => void posted.push(message));
  const follower = (): Follower & { take(): unknown[] } => {
    const got: unknown[] = [];
    return {
      data: (data) => void got.push(data),
      error: ({ status }: ApiError) => void got.push(status),
      take: () => got.splice(0),
    };
  };
  return { followers, follower, take: () => posted.splice(0) };
}

test("every tab joins a subscription under the same key: tabs share it", () => {
  const [one, two] = [setUp(), setUp()];
  one.followers.follow(LIST, one.follower());
  two.followers.follow({ topic: "me", args: {} }, two.follower());
  two.take();
  two.followers.follow(LIST, two.follower());
  const joined = one.take();
  expect(joined).toEqual([{ type: "join", key: KEY, ...LIST }]);
  expect(two.take()).toEqual(joined);
});

test("followers in one tab share a subscription, which ends with the last of them", async () => {
  const { followers, follower, take } = setUp();
  const [first, second, third] = [follower(), follower(), follower()];
  const leaveFirst = followers.follow(LIST, first);
  expect(take()).toEqual([{ type: "join", key: KEY, ...LIST }]);
  followers.received({ type: "snapshot", key: KEY, data: { a: 1, b: 2 } });
  followers.received({ type: "patch", key: KEY, set: { a: 3 }, del: ["b"] });
  expect(first.take()).toEqual([{ a: 1, b: 2 }, { a: 3 }]);
  const leaveSecond = followers.follow(LIST, second);
  followers.follow(LIST, third)();
  expect(second.take()).toEqual([]);
  await Promise.resolve();
  expect([first.take(), second.take(), third.take(), take()]).toEqual([[], [{ a: 3 }], [], []]);
  leaveFirst();
  leaveFirst();
  followers.received({ type: "error", key: KEY, status: 404, message: "none" });
  expect([first.take(), second.take()]).toEqual([[], [404]]);
  followers.follow(LIST, third);
  await Promise.resolve();
  expect(third.take()).toEqual([404]);
  followers.joinAll();
  expect(take()).toEqual([{ type: "join", key: KEY, ...LIST }]);
  leaveSecond();
  expect(take()).toEqual([]);
});

test("who follows after a temporary failure causes another attempt, for those too who follow already", () => {
  const { followers, follower, take } = setUp();
  const [first, second] = [follower(), follower()];
  followers.follow(LIST, first);
  followers.received({ type: "error", key: KEY, status: 500, message: "failed" });
  take();
  first.take();
  followers.follow(LIST, second);
  expect(take()).toEqual([{ type: "join", key: KEY, ...LIST }]);
  followers.received({ type: "snapshot", key: KEY, data: { a: 1 } });
  expect([first.take(), second.take()]).toEqual([[{ a: 1 }], [{ a: 1 }]]);
});

test("one object that follows twice leaves twice", () => {
  const { followers, follower, take } = setUp();
  const one = follower();
  const leaves = [followers.follow(LIST, one), followers.follow(LIST, one)];
  take();
  leaves[0]!();
  expect(take()).toEqual([]);
  followers.received({ type: "snapshot", key: KEY, data: {} });
  expect(one.take()).toEqual([{}]);
  leaves[1]!();
  expect(take()).toEqual([{ type: "leave", key: KEY }]);
});
