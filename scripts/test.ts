/** `npm test`: builds, then runs every test of the fast tier. */

import { buildCli } from "./build.ts";
import { runVitest } from "./run-vitest.ts";

await buildCli();
process.exit(await runVitest("vitest.config.ts", "unit", process.argv.slice(2)));
