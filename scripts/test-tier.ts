/** `npm run test:interop` and the other tiers that need more than Node. */
import { buildCli } from "./build.ts";
import { buildNative } from "./build-native.ts";
import { runVitest } from "./run-vitest.ts";

const TIERS = ["interop", "natlab", "browser", "postgres", "cluster"];
const tier = process.argv[2] ?? "";
if (!TIERS.includes(tier)) {
  process.stderr.write(`usage: test-tier.ts ${TIERS.join("|")}\n`);
  process.exit(2);
}
await buildCli();
// The tests of the store run without it, like those of the unit tier.
if (tier !== "postgres") {
  try {
    await buildNative();
  } catch (error) {
    if (tier === "interop") throw error;
    process.stderr.write(`without the native module: ${(error as Error).message}\n`);
  }
}
process.exit(await runVitest(`vitest.${tier}.config.ts`, tier, process.argv.slice(3)));
