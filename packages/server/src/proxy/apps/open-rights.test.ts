import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { OpenRights, type RightAnswer } from "./open-rights.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const HOLDS: RightAnswer = { holds: true, endsAt: undefined };

/** The clocks advance together unless a test says otherwise. */
function rightsWith(onAgentUnused: (agentId: string) => void = () => undefined, now = Date.now): OpenRights {
  return new OpenRights({ clock: () => instant(Date.now()), now, onAgentUnused });
}

function started(options: { agentId?: string; endsAt?: number; askAfterMs?: number; now?: () => number } = {}) {
  const at = {
    asked: 0,
    ended: undefined as string | undefined,
    answer: HOLDS as RightAnswer,
    noneLeft: [] as string[],
  };
  const rights = rightsWith((agentId) => at.noneLeft.push(agentId), options.now);
  const leave = rights.add({
    agentId: options.agentId ?? "a",
    endsAt: options.endsAt,
    askAfterMs: options.askAfterMs ?? 60_000,
    decidedAfter: undefined,
    question: "q",
    ask: async () => {
      at.asked++;
      return at.answer;
    },
    end: (reason) => {
      at.ended = reason;
    },
  });
  return { rights, at, leave };
}

const minutes = (count: number) => vi.advanceTimersByTimeAsync(count * 60_000);

test("the primary is asked once a minute, and its refusal ends the right", async () => {
  const { rights, at } = started();
  await minutes(3.1);
  expect([at.asked, at.ended]).toEqual([3, undefined]);
  at.answer = { holds: false, reason: "access ended" };
  await minutes(1);
  expect([at.asked, at.ended, rights.size]).toEqual([4, "access ended", 0]);
  await minutes(5);
  expect(at.asked).toBe(4);
});

test("while the primary does not answer, a right lasts for fifteen minutes, and for as long again after an answer", async () => {
  const { at } = started();
  at.answer = "unknown";
  await minutes(14.9);
  expect(at.ended).toBe(undefined);
  at.answer = HOLDS;
  await minutes(0.09);
  at.answer = "unknown";
  await minutes(14.8);
  expect(at.ended).toBe(undefined);
  await minutes(0.3);
  expect(at.ended).toBe("the deployment did not answer for 15 minutes");
});

test("a doubt about the rights to an agent causes questions at once, about that agent only", async () => {
  const { rights, at } = started();
  rights.doubt("b");
  await vi.advanceTimersByTimeAsync(0);
  expect(at.asked).toBe(0);
  at.answer = { holds: false, reason: "access ended" };
  rights.doubt("a");
  await vi.advanceTimersByTimeAsync(0);
  expect([at.asked, at.ended]).toEqual([1, "access ended"]);
  // Nothing is open to either agent, so their tunnels are no longer needed.
  expect(at.noneLeft).toEqual(["b", "a"]);
});

test("a doubt that arises while the primary is being asked is not settled by that answer", async () => {
  const rights = rightsWith();
  const answers = [Promise.withResolvers<RightAnswer>(), Promise.withResolvers<RightAnswer>()];
  let asked = 0;
  const end = vi.fn();
  const ask = () => answers[asked++]!.promise;
  rights.add({ agentId: "a", endsAt: undefined, askAfterMs: 60_000, decidedAfter: undefined, question: "q", ask, end });
  rights.doubt("a");
  await vi.advanceTimersByTimeAsync(0);
  rights.doubt("a");
  answers[0]!.resolve(HOLDS);
  await vi.advanceTimersByTimeAsync(500);
  expect(asked).toBe(2);
  answers[1]!.resolve({ holds: false, reason: "access ended" });
  await vi.advanceTimersByTimeAsync(0);
  expect(end).toHaveBeenCalledExactlyOnceWith("access ended");
});

test("when a login expires the primary is asked, and the right ends unless the login was renewed", async () => {
  const endsAt = Date.now() + 10_000;
  const { at } = started({ endsAt });
  at.answer = { holds: true, endsAt: endsAt + 10_000 };
  await vi.advanceTimersByTimeAsync(10_500);
  expect([at.asked, at.ended]).toEqual([1, undefined]);
  at.answer = "unknown";
  await vi.advanceTimersByTimeAsync(10_000);
  expect(at.ended).toBe("access ended");
});

test("no question is asked about a use that is over, and invalid rights end all at once", async () => {
  const { at, leave, rights } = started();
  leave();
  await minutes(2);
  expect([at.asked, rights.size]).toEqual([0, 0]);
  const other = started();
  other.rights.endAll("the proxy stops");
  expect(other.at.ended).toBe("the proxy stops");
});

test("a right is asked about a minute after its decision, even if its use began later", async () => {
  const { at } = started({ askAfterMs: 0 });
  await vi.advanceTimersByTimeAsync(500);
  expect(at.asked).toBe(1);
  const later = started({ askAfterMs: 20_000 });
  await vi.advanceTimersByTimeAsync(20_500);
  expect(later.at.asked).toBe(1);
});

test("setting the wall clock ends nothing and delays no question", async () => {
  let offset = 3_600_000;
  const { at } = started({ now: () => Date.now() + offset });
  await minutes(1.1);
  offset = -3_600_000;
  await minutes(1);
  expect([at.asked, at.ended]).toEqual([2, undefined]);
});

test("the end of many control connections at once causes a limited number of different questions", async () => {
  const rights = rightsWith();
  const asked: string[] = [];
  for (let agent = 0; agent < 150; agent++)
    for (let use = 0; use < 2; use++)
      rights.add({
        agentId: `a${agent}`,
        endsAt: undefined,
        askAfterMs: 60_000,
        decidedAfter: undefined,
        question: `q${agent}`,
        ask: async () => {
          asked.push(`q${agent}`);
          return HOLDS;
        },
        end: () => undefined,
      });
  for (let agent = 0; agent < 150; agent++) rights.doubt(`a${agent}`);
  await vi.advanceTimersByTimeAsync(1);
  for (let agent = 0; agent < 150; agent++) rights.doubt(`a${agent}`);
  await vi.advanceTimersByTimeAsync(1);
  expect([asked.length, new Set(asked).size]).toEqual([200, 100]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(new Set(asked).size).toBe(150);
  rights.endAll("over");
});

test("a right that may have been decided before a doubt is asked about at once, and one that was decided after it is not", async () => {
  const rights = rightsWith();
  const asked: string[] = [];
  const add = (question: string, agentId: string, decidedAfter: number | undefined): void => {
    const ask = async (): Promise<RightAnswer> => {
      asked.push(question);
      return HOLDS;
    };
    const after = decidedAfter === undefined ? undefined : instant(decidedAfter);
    rights.add({
      agentId,
      endsAt: undefined,
      askAfterMs: 60_000,
      decidedAfter: after,
      question,
      ask,
      end: () => undefined,
    });
  };
  const before = Date.now();
  await vi.advanceTimersByTimeAsync(10);
  rights.doubt("a");
  await vi.advanceTimersByTimeAsync(10);
  add("before", "a", before);
  add("after", "a", Date.now());
  add("whenever", "a", undefined);
  add("of another agent", "b", before);
  await vi.advanceTimersByTimeAsync(500);
  expect(asked).toEqual(["before", "whenever"]);
  await minutes(6);
  add("long after", "a", undefined);
  asked.length = 0;
  await vi.advanceTimersByTimeAsync(500);
  expect(asked).not.toContain("long after");
  rights.endAll("over");
});
