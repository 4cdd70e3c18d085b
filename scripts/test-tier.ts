/** `npm run test:interop`, `npm run test:natlab`: the tiers that need root and more than Node. */
import { buildCli } from "./build.ts";
import { runVitest } from "./run-vitest.ts";

const tier = process.argv[2];
if (tier !== "interop" && tier !== "natlab") {
  process.stderr.write("usage: test-tier.ts interop|natlab\n");
  process.exit(2);
}
await buildCli();
process.exit(await runVitest(`vitest.${tier}.config.ts`, tier, process.argv.slice(3)));
