import { expect, test, vi } from "vitest";
import { DomainError } from "./domain-error.ts";
import { Gathered } from "./gathered.ts";

/** A Gathered whose requests are answered by hand. */
function byHand() {
  const requests: { readonly keys: readonly string[]; readonly answer: PromiseWithResolvers<void> }[] = [];
  const gathered = new Gathered<string>({
    ask: async (keys) => {
      const answer = Promise.withResolvers<void>();
      requests.push({ keys, answer });
      await answer.promise;
      return new Map(keys.filter((key) => key !== "unknown").map((key) => [key, `answer ${key}`]));
    },
    refusal: () => new Error("too many questions"),
  });
  return { gathered, requests, keys: () => requests.map((request) => request.keys) };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("questions of one turn share a request, and equal ones an answer", async () => {
  const { gathered, requests, keys } = byHand();
  const answers = Promise.all(["a", "b", "a", "unknown"].map((key) => gathered.get(key)));
  expect(requests).toHaveLength(0);
  await nextTurn();
  expect(keys()).toEqual([["a", "b", "unknown"]]);
  requests[0]!.answer.resolve();
  expect(await answers).toEqual(["answer a", "answer b", "answer a", undefined]);
});

test("a question that is asked while an equal one is under way is asked again", async () => {
  const { gathered, requests, keys } = byHand();
  const first = gathered.get("a");
  await nextTurn();
  const second = gathered.get("a");
  requests[0]!.answer.resolve();
  expect(await first).toBe("answer a");
  await vi.waitFor(() => expect(keys()).toEqual([["a"], ["a"]]));
  requests[1]!.answer.resolve();
  expect(await second).toBe("answer a");
});

test("while a request is under way, further questions wait together", async () => {
  const { gathered, requests, keys } = byHand();
  const answers: Promise<string | undefined>[] = [];
  for (const key of ["a", "b", "c"]) {
    answers.push(gathered.get(key));
    await nextTurn();
  }
  expect(keys()).toEqual([["a"]]);
  requests[0]!.answer.resolve();
  await vi.waitFor(() => expect(keys()).toEqual([["a"], ["b", "c"]]));
  requests[1]!.answer.resolve();
  expect(await Promise.all(answers)).toEqual(["answer a", "answer b", "answer c"]);
});

test("a request that fails rejects its own questions only", async () => {
  const { gathered, requests } = byHand();
  const settled = Promise.allSettled([gathered.get("a"), gathered.get("b")]);
  await nextTurn();
  const other = gathered.get("c");
  requests[0]!.answer.reject(new Error("away"));
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await vi.waitFor(() => expect(requests).toHaveLength(2));
  requests[1]!.answer.resolve();
  expect(await other).toBe("answer c");
});

test("a request has a limited number of questions", async () => {
  const { gathered, requests } = byHand();
  const answers = Array.from({ length: 70 }, (_, i) => gathered.get(`key ${i}`));
  await nextTurn();
  requests[0]!.answer.resolve();
  await vi.waitFor(() => expect(requests.map(({ keys }) => keys.length)).toEqual([64, 6]));
  requests[1]!.answer.resolve();
  expect(new Set(await Promise.all(answers)).size).toBe(70);
});

test("beyond a limit, questions are refused", async () => {
  const { gathered } = byHand();
  for (let i = 0; i < 20_000; i++) void gathered.get(`key ${i}`);
  await expect(gathered.get("one more")).rejects.toThrow("too many questions");
  void gathered.get("key 1");
});

test("while nothing answers, those that wait are refused with the request under way", async () => {
  const { gathered, requests } = byHand();
  const first = gathered.get("a");
  await nextTurn();
  const waiting = gathered.get("b");
  const settled = Promise.allSettled([first, waiting]);
  requests[0]!.answer.reject(new DomainError("unavailable", "The database does not answer."));
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(requests).toHaveLength(1);
  const later = gathered.get("c");
  await nextTurn();
  requests[1]!.answer.resolve();
  expect(await later).toBe("answer c");
});
