/** `npm run test:interop`, `npm run test:natlab`, `npm run test:browser`, `npm run test:postgres`: the tiers that need more than Node. */
import { buildCli } from "./build.ts";
import { buildNative } from "./build-native.ts";
import { runVitest } from "./run-vitest.ts";

const tier = process.argv[2];
if (tier !== "interop" && tier !== "natlab" && tier !== "browser" && tier !== "postgres") {
  process.stderr.write("usage: test-tier.ts interop|natlab|browser|postgres\n");
  process.exit(2);
}
await buildCli();
// The tests of the store run without it, as those of the unit tier.
if (tier !== "postgres") {
  try {
    await buildNative();
  } catch (error) {
    if (tier === "interop") throw error;
    process.stderr.write(`without the native module: ${(error as Error).message}\n`);
  }
}
process.exit(await runVitest(`vitest.${tier}.config.ts`, tier, process.argv.slice(3)));
