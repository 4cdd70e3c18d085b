import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { collectMetadata, MetadataCollector, type MetadataDescription, metadataTimeoutMs } from "./metadata.ts";

const every = (key: string, seconds: number): MetadataDescription => ({
  key,
  script: key,
  intervalMs: seconds * 1000,
  timeoutMs: 0,
});

describe("collecting metadata", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** A collector whose scripts take `takesMs`. */
  function collector(takesMs: (key: string) => number): {
    collector: MetadataCollector;
    runs: string[];
    most: () => number;
  } {
    const runs: string[] = [];
    const running = new Map<string, number>();
    let most = 0;
    const made = new MetadataCollector({
      schedule: (run, afterMs) => {
        const timer = setTimeout(run, afterMs);
        return () => clearTimeout(timer);
      },
      now: () => Date.now(),
      logger: silentLogger,
      collect: async ({ key }, signal) => {
        runs.push(key);
        running.set(key, (running.get(key) ?? 0) + 1);
        expect(running.get(key)).toBe(1);
        most = Math.max(
          most,
          [...running.values()].reduce((sum, n) => sum + n, 0),
        );
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, takesMs(key));
          signal.addEventListener("abort", () => {
            clearTimeout(timer);
            resolve();
          });
        });
        running.set(key, 0);
        return { value: `${key} ${runs.length}`, error: "" };
      },
    });
    return { collector: made, runs, most: () => most };
  }

  it("runs each script at once and then at its interval, counted from start to start", async () => {
    const { collector: made, runs } = collector(() => 200);
    made.update([every("fast", 1), every("slow", 10), every("once", 0)]);
    await vi.advanceTimersByTimeAsync(20_500);
    expect(runs.filter((key) => key === "fast")).toHaveLength(21);
    expect(runs.filter((key) => key === "slow")).toHaveLength(3);
    expect(runs.filter((key) => key === "once")).toHaveLength(1);
    made.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(runs).toHaveLength(25);
  });

  it("never runs a script while its last run goes on", async () => {
    const { collector: made, runs } = collector(() => 2_500);
    made.update([every("long", 1)]);
    await vi.advanceTimersByTimeAsync(9_900);
    expect(runs).toHaveLength(4); // at 0, 2.5, 5 and 7.5 s
    made.close();
  });

  it("runs a few at a time, and starves none", async () => {
    const { collector: made, runs, most } = collector(() => 100);
    made.update(Array.from({ length: 40 }, (_, i) => every(`m${i}`, 60)));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(new Set(runs).size).toBe(40);
    expect(most()).toBe(8);
    made.close();
  });

  it("keeps the latest result until the deployment has it", async () => {
    const { collector: made } = collector(() => 0);
    made.update([every("a", 1)]);
    await vi.advanceTimersByTimeAsync(10);
    const first = made.unreported();
    expect(first).toMatchObject([{ key: "a", value: "a 1" }]);
    await vi.advanceTimersByTimeAsync(1_000);
    made.confirm(first); // too late: there is a newer result
    expect(made.unreported()).toMatchObject([{ value: "a 2" }]);
    made.confirm(made.unreported());
    expect(made.unreported()).toEqual([]);
    made.close();
  });

  it("follows a changed manifest; an unchanged description keeps its schedule", async () => {
    const { collector: made, runs } = collector(() => 0);
    made.update([every("stays", 10), every("goes", 10)]);
    await vi.advanceTimersByTimeAsync(5_000);
    made.update([every("stays", 10), every("comes", 10)]);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(runs).toEqual(["stays", "goes", "comes", "stays"]);
    expect(made.unreported().map(({ key }) => key)).toEqual(["stays", "comes"]);
    made.close();
  });

  it("bounds the number of descriptions", async () => {
    const { collector: made, runs } = collector(() => 0);
    made.update(Array.from({ length: 1_000 }, (_, i) => every(`m${i}`, 60)));
    await vi.advanceTimersByTimeAsync(100);
    expect(runs).toHaveLength(128);
    made.close();
  });
});

describe("one piece of metadata", () => {
  const user = { name: "me", shell: "/bin/sh", home: tmpdir(), uid: 0 };
  const collect = (script: string, timeoutMs = 5_000): Promise<{ value: string; error: string }> =>
    collectMetadata(
      { key: "k", script, intervalMs: 0, timeoutMs },
      { user, environment: () => ({ NAME: "demo" }), signal: new AbortController().signal },
    );

  it("is what the script prints, on either stream, without the last line break", async () => {
    expect(await collect("echo $NAME; echo two >&2")).toEqual({ value: "demo\ntwo", error: "" });
  });

  it("is collected in the root where there is no home directory", async () => {
    const { signal } = new AbortController();
    const options = { user: { ...user, home: "/no/such/home" }, environment: () => ({}), signal };
    const description = { key: "k", script: "pwd", intervalMs: 0, timeoutMs: 0 };
    expect(await collectMetadata(description, options)).toEqual({ value: "/", error: "" });
  });

  it.runIf(process.platform === "linux")("of a script killed by a real-time signal is an error", async () => {
    expect(await collect("echo some; kill -37 $$; sleep 10")).toEqual({ value: "some", error: "exit code 255" });
  });

  it("is cut at 2048 bytes, not inside a character", async () => {
    const cut = await collect("i=0; while [ $i -lt 1000 ]; do printf '€€'; i=$((i+1)); done");
    expect(cut.value).toBe("€".repeat(682));
    expect(cut.error).toBe("output cut from 6000 to 2048 bytes");
  });

  it("reports how the script failed", async () => {
    expect(await collect("echo partly; exit 3")).toEqual({ value: "partly", error: "exit code 3" });
    expect(await collect("#!/nonexistent/program\n")).toMatchObject({
      value: "",
      error: expect.stringContaining("ENOENT"),
    });
    expect(await collect("sleep 30", 100)).toEqual({ value: "", error: "timed out after 0.1 s" });
    expect(await collect(" ")).toMatchObject({ error: "the description has no script" });
  });

  it("does not wait for what the script leaves behind", async () => {
    expect(await collect("sleep 30 & echo $!")).toMatchObject({ value: expect.stringMatching(/^\d+$/), error: "" });
  });

  it("has the interval as its time limit, at most 5 s, when none is given", () => {
    expect(metadataTimeoutMs({ ...every("k", 2) })).toBe(2_000);
    expect(metadataTimeoutMs({ ...every("k", 60) })).toBe(5_000);
    expect(metadataTimeoutMs({ ...every("k", 0) })).toBe(5_000);
    expect(metadataTimeoutMs({ ...every("k", 60), timeoutMs: 30_000 })).toBe(30_000);
  });
});
