import { afterEach, expect, test, vi } from "vitest";
import { call } from "./client.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** A server whose responses end only with their request, and the deadline of each request. */
function silentServer(answer: (signal: AbortSignal) => Promise<Response>) {
  const deadline = new AbortController();
  vi.spyOn(AbortSignal, "timeout").mockReturnValue(deadline.signal);
  vi.stubGlobal("fetch", (_path: string, { signal }: { readonly signal: AbortSignal }) => answer(signal));
  return deadline;
}

const late = new DOMException("The operation timed out", "TimeoutError");
const TOO_LATE = { name: "ApiError", status: 0, message: "The server did not answer within 30 seconds" };

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

/** A response whose body begins and does not end. */
const unfinished = (status: number) => (signal: AbortSignal) => {
  const body = new ReadableStream<Uint8Array>({
    start: (sink) => {
      sink.enqueue(new TextEncoder().encode('{"message":'));
      signal.addEventListener("abort", () => sink.error(signal.reason));
    },
  });
  return Promise.resolve(new Response(body, { status }));
};

test.each([
  ["no response", untilAborted],
  ["a body that does not end", unfinished(200)],
  ["an error whose body does not end", unfinished(500)],
])("a request that gets %s fails at its deadline, in words for a person", async (_, answer) => {
  const deadline = silentServer(answer);
  const failed = expect(call("GET", "/users/me")).rejects.toMatchObject(TOO_LATE);
  deadline.abort(late);
  await failed;
});

test("a request that its caller gave up rejects with the caller's reason, also while the body arrives", async () => {
  silentServer(unfinished(200));
  const caller = new AbortController();
  const reason = new Error("the page is gone");
  const failed = expect(call("GET", "/users/me", { signal: caller.signal })).rejects.toBe(reason);
  caller.abort(reason);
  await failed;
});
