import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";

const floor = join(import.meta.dirname, "../../../../node_modules/node-floor/bin/node");
const helper = pathToFileURL(join(import.meta.dirname, "closed-responses.ts")).href;
const PIPELINED = 50;

/**
 * A program that sends several requests on one connection, ends it before any is answered, and prints how many responses emitted
 * "close".
 */
const PROGRAM = `
import { createServer } from "node:http";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { closeResponses } from ${JSON.stringify(helper)};
const server = createServer();
closeResponses(server);
let closed = 0;
const all = new Promise((resolve) => {
  let arrived = 0;
  server.on("request", (_request, response) => {
    response.once("close", () => closed++);
    if (++arrived === ${PIPELINED}) resolve();
  });
});
server.listen(0, "127.0.0.1", () => {
  const client = connect(server.address().port, "127.0.0.1");
  client.on("error", () => undefined);
  client.write("GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n".repeat(${PIPELINED}));
  all.then(() => client.destroy());
});
await all;
for (let waited = 0; closed < ${PIPELINED} && waited < 5_000; waited += 10) await wait(10);
console.log(closed);
process.exit();
`;

test.each([
  ["this Node", process.execPath, true],
  ["the oldest Node", floor, existsSync(floor)],
])("all pipelined requests of a connection are closed with it, on %s", (_, node, isThere) => {
  if (!isThere) throw new Error(`${node} is not installed`);
  const flags = ["--experimental-strip-types", "--no-warnings", "--input-type=module"];
  const printed = execFileSync(node, [...flags, "-e", PROGRAM], { encoding: "utf8", timeout: 60_000 });
  expect(printed.trim()).toBe(String(PIPELINED));
});
