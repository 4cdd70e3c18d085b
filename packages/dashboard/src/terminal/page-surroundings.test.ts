import { afterEach, expect, it, vi } from "vitest";
import { PAGE } from "./page-surroundings.ts";

afterEach(() => void vi.unstubAllGlobals());

const causeWith = (answer: () => Promise<Response>, life = new AbortController().signal) => {
  vi.stubGlobal("fetch", answer);
  return PAGE.findCause("agent", life);
};

it.each([
  ["a proxy's page", async () => new Response("<html>Bad gateway</html>", { status: 200 })],
  ["no answer in time", () => Promise.reject(new DOMException("late", "TimeoutError"))],
  ["no network", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["a failure of the server", async () => Response.json({ message: "broken" }, { status: 500 })],
])("%s is no cause to give up", async (_what, answer) => {
  expect(await causeWith(answer)).toEqual({ kind: "unknown", reason: "" });
});

it("a login that ended and a workspace that is gone are causes; it rejects only once the terminal was closed", async () => {
  expect(await causeWith(async () => Response.json({ message: "who?" }, { status: 401 }))).toEqual({ kind: "denied" });
  expect(await causeWith(async () => Response.json({ message: "none" }, { status: 404 }))).toEqual({ kind: "gone" });
  await expect(causeWith(() => Promise.reject(new Error("aborted")), AbortSignal.abort())).rejects.toThrow();
});
