import { expect, test, vi } from "vitest";
import type { AuthenticatedUser } from "../../auth/authenticator.ts";
import { Feeds } from "./feed.ts";
import { Topics, type TopicsOptions } from "./topics.ts";

test("the health of the deployment is asked for with the token of a subscriber that is there", async () => {
  vi.useFakeTimers();
  try {
    const asked: string[] = [];
    const feeds = new Feeds((_key, error) => {
      throw error;
    });
    const health = async (token: string) => {
      asked.push(token);
      return { severity: "ok" };
    };
    const topics = new Topics({ feeds, health } as unknown as TopicsOptions);
    const subscribe = async (token: string) => {
      const auth = { user: { id: token, role: "owner" }, token } as unknown as AuthenticatedUser;
      const opened = await topics.open(auth, "health", {});
      const feed = opened.feed();
      const reader = { changed: () => undefined, ended: () => undefined };
      await feed.join(reader);
      return () => {
        feed.leave(reader);
        opened.close?.();
      };
    };
    const leaveFirst = await subscribe("first");
    const leaveSecond = await subscribe("second");
    const leaveTwin = await subscribe("second");
    leaveFirst();
    await vi.advanceTimersByTimeAsync(30_000);
    leaveSecond();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(asked).toEqual(["first", "second", "second"]);
    leaveTwin();
    expect(feeds.size).toBe(0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});
