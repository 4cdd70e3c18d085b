import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ProxyUsage, secondsOf } from "./proxy-usage.ts";
import { shell } from "./shell.ts";

it("adds the lines of the shell and of its children", () => {
  expect(secondsOf("0m0.120s 0m0.040s\n1m2.500s 0m0.000s\n")).toBeCloseTo(62.66);
});

it("counts what a command used, once, and passes its streams through", async () => {
  const folder = mkdtempSync(join(tmpdir(), "proxy-usage-"));
  try {
    const usage = new ProxyUsage(folder);
    const config = usage.observed("Host x\n\tProxyCommand cat\n");
    const command = /ProxyCommand (.*)/.exec(config)![1]!;
    writeFileSync(join(folder, "input"), Buffer.alloc(200_000_000));
    expect((await shell(`${command} < ${join(folder, "input")} | wc -c`, process.env, 60_000)).trim()).toBe(
      "200000000",
    );
    expect(await usage.take()).toBeGreaterThan(0);
    expect(await usage.take()).toBe(0);
    expect(readFileSync(join(folder, "proxy.sh"), "utf8")).toContain("trap : HUP");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
