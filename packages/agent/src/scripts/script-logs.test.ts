import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter, type ScriptLogLine, ScriptLogs } from "./script-logs.ts";

const A = "11111111-1111-1111-1111-111111111111";
const B = "22222222-2222-2222-2222-222222222222";
const line = (output: string): ScriptLogLine => ({ atMs: 1, level: "info", output });
const taken = { limitExceeded: false, nowMs: 2 };

function outputs(logs: ScriptLogs): string[] | undefined {
  return logs.next()?.lines.map(({ output }) => output);
}

describe("output on its way to the deployment", () => {
  it("stays until the deployment has it, so that it is sent again after a lost connection", () => {
    const logs = new ScriptLogs();
    logs.add(A, line("one"));
    const lost = logs.next()!;
    logs.add(A, line("two"));
    expect(outputs(logs)).toEqual(["one", "two"]);
    logs.confirm(lost, taken); // the answer arrived after all
    expect(outputs(logs)).toEqual(["two"]);
    logs.confirm(logs.next()!, taken);
    expect(logs.isEmpty).toBe(true);
  });

  it("goes one source at a time, each in its order, none starving another", () => {
    const logs = new ScriptLogs({ maxQueuedBytes: 64 * 1024 * 1024 });
    for (let i = 0; i < 2_500; i++) logs.add(A, line(`a${i}`));
    logs.add(B, line("b"));
    const sources: string[] = [];
    const ofA: string[] = [];
    for (let batch = logs.next(); batch !== undefined; batch = logs.next()) {
      sources.push(batch.sourceId);
      expect(batch.lines.length).toBeLessThanOrEqual(1_000);
      if (batch.sourceId === A) ofA.push(...batch.lines.map(({ output }) => output));
      logs.confirm(batch, taken);
    }
    expect(sources).toEqual([A, B, A, A]);
    expect(ofA).toEqual(Array.from({ length: 2_500 }, (_, i) => `a${i}`));
  });

  it("is at most 1 MiB a batch", () => {
    const logs = new ScriptLogs({ maxQueuedBytes: 64 * 1024 * 1024 });
    for (let i = 0; i < 200; i++) logs.add(A, line("é".repeat(16_000)));
    let lines = 0;
    for (let batch = logs.next(); batch !== undefined; batch = logs.next()) {
      const bytes = batch.lines.reduce((sum, { output }) => sum + Buffer.byteLength(output), 0);
      expect(bytes).toBeLessThanOrEqual(1024 * 1024);
      lines += batch.lines.length;
      logs.confirm(batch, taken);
    }
    expect(lines).toBe(200);
  });

  it("is dropped when it comes too fast, and a line reports how much", () => {
    const logs = new ScriptLogs({ maxQueuedBytes: 1_000 });
    for (let i = 0; i < 100; i++) logs.add(A, line(`line ${i}`));
    logs.add(B, line("other"));
    const first = logs.next()!;
    expect(first.lines[0]!.output).toBe("line 0");
    expect(first.lines.length).toBeLessThan(30);
    logs.confirm(first, taken);
    logs.add(A, line("after"));
    const left = 100 - first.lines.length;
    const rest: string[] = [];
    for (let batch = logs.next(); batch !== undefined; batch = logs.next()) {
      rest.push(...batch.lines.map(({ output }) => `${batch?.sourceId === A ? "A" : "B"} ${output}`));
      logs.confirm(batch, taken);
    }
    expect(rest).toContainEqual(expect.stringContaining(`A … ${left} lines left out`));
    expect(rest).toContainEqual(expect.stringContaining("B … 1 lines left out"));
    expect(rest.filter((each) => each.startsWith("A")).at(-1)).toBe("A after");
  });

  it("ends for good when the deployment keeps no more", () => {
    const logs = new ScriptLogs();
    logs.add(A, line("one"));
    logs.add(B, line("two"));
    logs.confirm(logs.next()!, { limitExceeded: true, nowMs: 2 });
    logs.add(A, line("three"));
    expect(logs.limitExceeded).toBe(true);
    expect(logs.isEmpty).toBe(true);
    expect(logs.next()).toBeUndefined();
  });
});

describe("lines of output", () => {
  function split(chunks: readonly Uint8Array[]): string[] {
    const lines: string[] = [];
    const splitter = new LineSplitter((each) => lines.push(each));
    for (const chunk of chunks) splitter.push(chunk);
    splitter.end();
    return lines;
  }

  it("come out the same however the bytes arrive", () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-zé€😀 ]{0,20}$/u), { minLength: 1, maxLength: 10 }),
        fc.array(fc.nat({ max: 200 }), { maxLength: 10 }),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(""));
          const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
          const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
          expect(split(chunks)).toEqual(lines);
        },
      ),
    );
  });

  it("need no line break at the end, and lose a carriage return before it", () => {
    expect(split([Buffer.from("one\r\ntwo\n\nlast")])).toEqual(["one", "two", "", "last"]);
  });

  it("are cut at the limit, and invalid UTF-8 becomes replacement characters", () => {
    const lines = split([Buffer.from("x".repeat(40_000)), Buffer.from([0x0a, 0xff, 0x0a])]);
    expect(lines.map(({ length }) => length)).toEqual([16_384, 16_384, 7_232, 1]);
    expect(lines[3]).toBe("\ufffd");
  });
});
