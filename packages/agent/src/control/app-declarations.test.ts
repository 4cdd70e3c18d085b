import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClientError } from "coder-client/base/client-error";
import { expect, test, vi } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { AppDeclarations } from "./app-declarations.ts";

/** A deployment that keeps the requests it receives and answers as the test says. */
function deployment(answer: () => unknown = () => ({ apps: [], ignored: [] })) {
  const sent: unknown[] = [];
  let arrived = Promise.withResolvers<void>();
  return {
    sent,
    next: () => arrived.promise,
    call: async (path: string, { body }: { body?: unknown } = {}) => {
      expect(path).toBe("/api/v2/workspaceagents/me/apps");
      sent.push((body as { apps: unknown }).apps);
      arrived.resolve();
      arrived = Promise.withResolvers();
      return answer();
    },
  };
}

function started(
  at: ReturnType<typeof deployment>,
  options: { given?: object[]; file?: string; lookEveryMs?: number } = {},
) {
  const log: string[] = [];
  const stop = new AbortController();
  const declarations = new AppDeclarations({
    deployment: at,
    given: options.given ?? [],
    file: options.file,
    logger: { ...silentLogger, log: (level, message) => void log.push(`${level} ${message}`) },
    onDeclared: () => void log.push("declared"),
    lookEveryMs: options.lookEveryMs ?? 5,
  });
  const running = declarations.run(stop.signal);
  return {
    log,
    running,
    end: async () => {
      stop.abort();
      await running;
    },
  };
}

/** Writes as an editor does: the file is never incomplete. */
function write(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

test("apps of the line and of the file are declared, again when the file changes, and none when it is gone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-apps-"));
  const file = join(folder, "apps.json");
  const at = deployment();
  const first = at.next();
  const run = started(at, { given: [{ slug: "line" }], file });
  await first;
  let next = at.next();
  write(file, JSON.stringify({ apps: [{ slug: "file" }] }));
  await next;
  next = at.next();
  write(file, JSON.stringify([{ slug: "other" }]));
  await next;
  next = at.next();
  rmSync(file);
  await next;
  await run.end();
  rmSync(folder, { recursive: true });
  expect(at.sent).toEqual([
    [{ slug: "line" }],
    [{ slug: "line" }, { slug: "file" }],
    [{ slug: "line" }, { slug: "other" }],
    [{ slug: "line" }],
  ]);
});

test("a change is noticed without polling, also after the file was replaced", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-apps-"));
  const file = join(folder, "apps.json");
  const at = deployment();
  const first = at.next();
  const run = started(at, { file, lookEveryMs: 3_600_000 });
  await first;
  for (const slug of ["one", "two", "three"]) {
    const next = at.next();
    write(file, JSON.stringify([{ slug }]));
    await next;
  }
  await run.end();
  rmSync(folder, { recursive: true });
  expect(at.sent).toEqual([[], [{ slug: "one" }], [{ slug: "two" }], [{ slug: "three" }]]);
});

test("a folder that cannot be watched is polled", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-apps-"));
  const file = join(folder, "later", "apps.json");
  const at = deployment();
  const first = at.next();
  const run = started(at, { file });
  await first;
  const next = at.next();
  mkdirSync(join(folder, "later"));
  write(file, JSON.stringify([{ slug: "late" }]));
  await next;
  await run.end();
  rmSync(folder, { recursive: true });
  expect(at.sent.at(-1)).toEqual([{ slug: "late" }]);
});

test("a file that cannot be used leaves what was declared, and is named once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-apps-"));
  const file = join(folder, "apps.json");
  write(file, JSON.stringify([{ slug: "web" }]));
  const at = deployment();
  const first = at.next();
  const run = started(at, { file });
  await first;
  for (const text of ["{", '"text"', `["${"x".repeat(70_000)}"]`]) {
    const next = at.next();
    write(file, text);
    await next;
  }
  await run.end();
  rmSync(folder, { recursive: true });
  expect(at.sent).toEqual([[{ slug: "web" }], [{ slug: "web" }], [{ slug: "web" }], [{ slug: "web" }]]);
  expect(run.log.filter((line) => line.startsWith("warn"))).toHaveLength(3);
});

test("a stock deployment is asked once", async () => {
  const at = deployment(() => {
    throw new ClientError("ERR_NOT_FOUND", "Route not found.", { status: 404 });
  });
  const run = started(at, { given: [{ slug: "web" }] });
  await run.running;
  expect([at.sent.length, run.log]).toEqual([1, ["debug the deployment takes no apps from agents"]]);
});

test("a deployment that is away is asked again; what it refuses is not sent again", async () => {
  let answers = 0;
  const at = deployment(() => {
    answers++;
    if (answers < 3) throw new Error("connection refused");
    return { apps: [], ignored: [{ slug: "web", reason: "is declared twice" }] };
  });
  const run = started(at, { given: [{ slug: "web" }] });
  for (let n = 0; n < 3; n++) if (at.sent.length < 3) await at.next();
  await run.end();
  expect([at.sent.length, run.log.at(-1), run.log.at(-2)]).toEqual([
    3,
    "declared",
    "warn the deployment ignores an app that this machine declares",
  ]);
});

test("a deployment that is away is not asked more often because the file changes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-apps-"));
  const file = join(folder, "apps.json");
  const at = deployment(() => {
    throw new Error("connection refused");
  });
  const first = at.next();
  const run = started(at, { file, lookEveryMs: 3_600_000 });
  await first;
  // Each look shows in the log. A list read at the first look would be sent before the second.
  for (const text of ["{", "[[["]) {
    const before = run.log.length;
    write(file, text);
    await vi.waitFor(() => expect(run.log.slice(before).join()).toContain("warn"), 20_000);
  }
  await run.end();
  rmSync(folder, { recursive: true });
  expect(at.sent).toHaveLength(1);
});
