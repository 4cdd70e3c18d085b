import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const MODULE = JSON.stringify(new URL("thread-pool.ts", import.meta.url).href);

/** What a fresh process prints after `script`. */
function printed(script: string, variables: NodeJS.ProcessEnv = {}): unknown {
  const source = `
    import { readdirSync, readFileSync, stat } from "node:fs";
    import { once } from "node:events";
    const { threadPoolSize, widenThreadPool } = await import(${MODULE});
    const workers = () => readdirSync("/proc/self/task").length;
    ${script}
  `;
  const { UV_THREADPOOL_SIZE: _, ...inherited } = process.env;
  const env = { ...inherited, ...variables };
  return JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", source], { env }).toString());
}

const linux = test.runIf(process.platform === "linux");

linux("a fresh process gets 64 threads, and its children the usual number", () => {
  const [grown, size, variable] = printed(`
    const before = workers();
    widenThreadPool();
    console.log(JSON.stringify([workers() - before, threadPoolSize(), process.env.UV_THREADPOOL_SIZE ?? null]));
  `) as [number, number, string | null];
  expect([grown, size, variable]).toEqual([64, 64, null]);
});

linux("the operator's choice stays", () => {
  const script = `
    widenThreadPool();
    console.log(JSON.stringify([threadPoolSize(), process.env.UV_THREADPOOL_SIZE ?? null]));
  `;
  expect(printed(script, { UV_THREADPOOL_SIZE: "9" })).toEqual([9, "9"]);
  expect(printed(script, { UV_THREADPOOL_SIZE: "no number" })).toEqual([1, "no number"]);
  expect(printed(script, { UV_THREADPOOL_SIZE: "5000" })).toEqual([1024, "5000"]);
});

linux("a pool that had started keeps its size, which is known", () => {
  const script = `
    await new Promise((resolve) => stat("/", resolve));
    widenThreadPool();
    console.log(JSON.stringify(threadPoolSize()));
  `;
  expect(printed(script)).toBe(4);
});
