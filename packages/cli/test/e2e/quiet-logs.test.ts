/**
 * A whole run at the most verbose level: checks every log line of server, agent and commands for values that must not be logged.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { PASSWORD, TestDeployment } from "./deployment.ts";

const ENVIRONMENT_VALUE = "value-of-a-secret-variable";
const REMOTE_VALUE = "value-that-a-client-sends";
const WRONG_PASSWORD = "a wrong but telling password";

/** Debug lines of the server, the agent and the commands. */
const MARKS = [/\[DEBU\] request/, /"level":20/, /\[debug\] /];

let deployment: TestDeployment;
const logs: string[] = [];

function listen(child: ChildProcess): ChildProcess {
  child.stderr!.on("data", (chunk) => void logs.push(String(chunk)));
  return child;
}

beforeAll(async () => {
  deployment = await TestDeployment.start(async (port) => ({
    url: `http://127.0.0.1:${port}`,
    environment: { CODER_VERBOSE: "true", DATABASE_PASSWORD: ENVIRONMENT_VALUE },
  }));
  // Earlier output is in no log that this test has, so the server is restarted.
  deployment.server!.kill("SIGTERM");
  await once(deployment.server!, "exit");
  listen(await deployment.startServer());
});
afterAll(async () => {
  await deployment?.close();
});

async function run(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = listen(deployment.spawn(args, environment));
  let stdout = "";
  child.stdout!.on("data", (chunk) => {
    stdout += String(chunk);
  });
  child.stdin!.end();
  await once(child, "close");
  return stdout;
}

it("security 37: logs at debug level hold no issued secret, and no value of a variable", async () => {
  await deployment.logIn("owner");
  const config = deployment.environment()["CODER_CONFIG_DIR"]!;
  const session = readFileSync(join(config, "session"), "utf8").trim();
  const wrong = { CODER_LOGIN_PASSWORD: WRONG_PASSWORD };
  await run(["login", deployment.url, "--email", "owner@example.com"], wrong);
  const created = (await run(["tokens", "create", "--name", "made"])).trim();
  const agentToken = await deployment.createWorkspace("demo");
  const agent = listen(deployment.startAgent(agentToken, { AGENT_SECRET: `${ENVIRONMENT_VALUE}-of-the-agent` }));
  const remote = await run(["ssh", "-e", `REMOTE_SECRET=${REMOTE_VALUE}`, "demo", "--", "echo $REMOTE_SECRET"]);
  expect(remote).toBe(`${REMOTE_VALUE}\n`);
  await run(["ssh", "--disable-direct-connections", "demo", "--", "true"]);
  await run(["--token", created, "ping", "demo", "-n", "2"]);
  await run(["netcheck"]);
  await run(["doctor", "demo"]);
  await run(["speedtest", "demo", "--time", "1s"]);
  await run(["--token", `${created}x`, "list"]);
  await run(["tokens", "remove", "made"]);
  await run(["stop", "demo", "--yes"]);
  agent.kill("SIGTERM");
  await once(agent, "exit");
  deployment.server!.kill("SIGTERM");
  await once(deployment.server!, "exit");

  const keys = JSON.parse(readFileSync(join(deployment.folder, "server", "keys.json"), "utf8")) as Record<
    string,
    string
  >;
  const secrets = { session, created, agentToken, password: PASSWORD, WRONG_PASSWORD, ENVIRONMENT_VALUE, REMOTE_VALUE };
  const parts = { session: session.slice(11), created: created.slice(11) };
  const texts = { "standard error": logs.join(""), ...logFiles(deployment.folder) };
  // All of them did log, at the requested level.
  for (const mark of MARKS) expect(texts["standard error"]).toMatch(mark);
  const found = Object.entries(texts).flatMap(([where, text]) =>
    [secrets, parts, keys].flatMap((group) =>
      Object.entries(group).flatMap(([name, secret]) =>
        secret.length >= 16 && text.includes(secret) ? [`${name} in ${where}`] : [],
      ),
    ),
  );
  expect(found).toEqual([]);
});

/** Log files that the run left behind. */
function logFiles(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.log/.test(name) && statSync(join(folder, name)).isFile())
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
}
