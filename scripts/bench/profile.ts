/** Summarises V8 CPU profiles by function: `node scripts/bench/profile.ts FOLDER`. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const SHOWN = 28;

/** Self time by function, most first; idle time is left out of the base. */
function selfTimes(profile: CpuProfile): { readonly name: string; readonly ms: number }[] {
  const names = new Map(
    profile.nodes.map(({ id, callFrame }) => {
      const file = callFrame.url.split("/").slice(-2).join("/");
      return [
        id,
        `${callFrame.functionName || "(anonymous)"} ${file}${file === "" ? "" : `:${callFrame.lineNumber + 1}`}`,
      ];
    }),
  );
  const times = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id) ?? "(unknown)";
    times.set(name, (times.get(name) ?? 0) + profile.timeDeltas[index]! / 1000);
  }
  return Array.from(times, ([name, ms]) => ({ name, ms })).sort((a, b) => b.ms - a.ms);
}

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write("usage: profile.ts FOLDER\n");
  process.exit(2);
}
for (const file of readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"))) {
  const all = selfTimes(JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile);
  const idle = all.find(({ name }) => name.startsWith("(idle)"))?.ms ?? 0;
  const busy = all.reduce((sum, { ms }) => sum + ms, 0) - idle;
  process.stdout.write(`${file}: busy ${(busy / 1000).toFixed(1)} s, idle ${(idle / 1000).toFixed(1)} s\n`);
  for (const { name, ms } of all.filter((entry) => !entry.name.startsWith("(idle)")).slice(0, SHOWN)) {
    process.stdout.write(`  ${((100 * ms) / busy).toFixed(1).padStart(5)} %  ${name}\n`);
  }
}
