import { setImmediate } from "node:timers/promises";
import { EVENT_RECORD, OUTPUT_RECORD, toRecords } from "coder-protocol/terminal/records";
import { expect, it } from "vitest";
import type { FromTerminal } from "./messages.ts";
import { Session } from "./session.ts";
import { FakeWorkspace } from "./testing.ts";

function setUp({ framed = true } = {}) {
  const workspace = new FakeWorkspace();
  const posted: FromTerminal[] = [];
  let drops = 0;
  let isCurrent = true;
  const session = new Session(1, {
    tunnel: {
      ready: async () => ({ workspace, framed, stopStatus: () => undefined }),
      drop: () => void drops++,
    },
    post: (message) => posted.push(message),
    isCurrent: () => isCurrent,
  });
  const done = session.run("agent", { ID: "id" });
  const agent = workspace.terminal.writable.getWriter();
  return {
    session,
    posted,
    done,
    agent,
    drops: () => drops,
    succeed: () => {
      isCurrent = false;
    },
    prints: (text: string) => agent.write(framed ? toRecords(OUTPUT_RECORD, Buffer.from(text)) : Buffer.from(text)),
    tells: (event: unknown) => agent.write(toRecords(EVENT_RECORD, Buffer.from(JSON.stringify(event)))),
  };
}

type Played = ReturnType<typeof setUp>;

async function endOf({ posted, done, agent }: Played): Promise<unknown> {
  await agent.close();
  await done;
  return posted.at(-1);
}

it.each([
  [[{ type: "exit", code: 0, signal: "" }], { kind: "ended" }],
  [[{ type: "replaced" }], { kind: "replaced" }],
  [
    [{ type: "notice", text: "too many viewers of this terminal" }],
    { kind: "lost", reason: "too many viewers of this terminal" },
  ],
  [[], { kind: "lost", reason: "" }],
])("the end of a framed stream after %j is %j", async (events, end) => {
  const played = setUp();
  await played.prints("output");
  for (const event of events) await played.tells(event);
  expect(await endOf(played)).toEqual({ kind: "closed", attempt: 1, end });
  expect(played.drops()).toBe(0);
});

it("the end of a raw stream is the program's", async () => {
  const played = setUp({ framed: false });
  await played.prints("output");
  expect(await endOf(played)).toEqual({ kind: "closed", attempt: 1, end: { kind: "ended" } });
});

it("an attempt that failed drops the tunnel, but not that of a later attempt", async () => {
  const failed = setUp();
  await setImmediate();
  await failed.agent.abort(new Error("broken"));
  await failed.done;
  expect([failed.drops(), failed.posted.at(-1)]).toEqual([
    1,
    { kind: "closed", attempt: 1, end: { kind: "lost", reason: "broken" } },
  ]);
  const old = setUp();
  await setImmediate();
  old.session.close();
  old.succeed();
  await old.agent.abort(new Error("broken"));
  await old.done;
  expect(old.drops()).toBe(0);
});
