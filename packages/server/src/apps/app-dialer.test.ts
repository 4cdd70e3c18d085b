import { once } from "node:events";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { appDialer } from "./app-dialer.ts";
import type { AppDecision } from "./decision.ts";

const decision = { target: { agentId: "a", port: 80 } } as unknown as AppDecision;

test("a tunnel is released when its connection ends, even one that was reset in the turn in which it was opened", async () => {
  let users = 0;
  const streams = [new PassThrough(), new PassThrough().destroy()];
  const dial = appDialer(
    {
      acquire: async () => {
        users++;
        return { connection: { dial: async () => streams.shift()! }, release: () => void users-- };
      },
    },
    "token",
  );
  const open = await dial(decision, AbortSignal.timeout(10_000));
  expect(users).toBe(1);
  await once(streams[0]!, "close");
  await dial(decision, AbortSignal.timeout(10_000));
  expect(users).toBe(1);
  await once(open.destroy(), "close");
  expect(users).toBe(0);
});

test("an agent that acknowledges nothing is given up after a minute", async () => {
  const dialled: unknown[] = [];
  const connection = {
    dial: async (port: number, { userTimeoutMs }: { userTimeoutMs: number }) => {
      dialled.push([port, userTimeoutMs]);
      return new PassThrough();
    },
  };
  const dial = appDialer({ acquire: async () => ({ connection, release: () => undefined }) }, "token");
  const stream = await dial(decision, AbortSignal.timeout(10_000));
  expect(dialled).toEqual([[80, 60_000]]);
  stream.destroy();
});
