/** Runs the real server from the environment alone; the kill loop starts and kills it. */
import { homedir } from "node:os";
import { configFromEnv } from "../../src/config/flags.ts";
import { parseServerConfig } from "../../src/config/parse.ts";
import { runServer } from "../../src/main.ts";

await runServer(parseServerConfig(configFromEnv(process.env), { homeDir: homedir() }));
