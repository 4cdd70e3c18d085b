/** Offers of other protocols at a server of Node before 24.9, which leaves none of them to the server. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const floor = join(import.meta.dirname, "../../../../node_modules/node-floor/bin/node");
const moduleOf = (name: string): string => JSON.stringify(pathToFileURL(join(import.meta.dirname, name)).href);

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "coder-upgrades-"));
  const how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  const files = ["-keyout", join(directory, "key.pem"), "-out", join(directory, "cert.pem")];
  execFileSync("openssl", [...how.split(" "), ...files], { stdio: "ignore" });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Reads lists of raw requests, each list one connection, and prints what each connection answers. No offer is taken. */
const program = (tls: object | undefined): string => `
import * as http from "node:http";
import * as https from "node:https";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { closeResponses } from ${moduleOf("closed-responses.ts")};
import { ignoreUpgrade } from ${moduleOf("ignored-upgrades.ts")};
const tls = ${JSON.stringify(tls)};
const server = tls === undefined ? http.createServer() : https.createServer(tls);
const open = closeResponses(server);
server.on("upgrade", (request, socket, head) => ignoreUpgrade(server, open, request, socket, head));
let slow;
server.on("request", async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const { upgrade, connection, "x-empty": empty } = request.headers;
  const answer = () => response.end(JSON.stringify([request.method, request.url, body, upgrade, connection, empty]) + "\\n");
  if (request.url === "/slow") slow = answer;
  else answer();
});
const warnings = [];
process.on("warning", ({ name }) => warnings.push(name));
server.listen(0, "127.0.0.1", async () => {
  const { port } = server.address();
  const answers = [];
  for (const requests of JSON.parse(process.argv[1])) {
    const to = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const client = tls === undefined ? connectTcp(to) : connectTls(to);
    let text = "";
    let next = 0;
    const send = () => next < requests.length && client.write(requests[next++].replaceAll("HOST", "Host: 127.0.0.1"));
    client.on("data", (chunk) => {
      text += chunk;
      if (text.endsWith("]\\n")) send();
    });
    send();
    if (requests[0].includes("/slow")) {
      while (slow === undefined) await new Promise(setImmediate);
      // What follows has been read, as far as Node reads it.
      for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
      slow();
      slow = undefined;
    }
    await new Promise((resolve) => client.on("close", resolve));
    answers.push(text.split("\\n").filter((line) => line.startsWith("[")).map((line) => JSON.parse(line)));
  }
  console.log(JSON.stringify({ answers, warnings }));
  process.exit();
});
`;

interface Outcome {
  readonly answers: readonly (readonly unknown[])[];
  readonly warnings: readonly string[];
}

function outcome(tls: boolean, connections: readonly (readonly string[])[]): Promise<Outcome> {
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  const material = tls ? { key: read("key.pem"), cert: read("cert.pem") } : undefined;
  const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const child = spawn(floor, [...flags, "-e", program(material), JSON.stringify(connections)], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  let printed = "";
  child.stdout.on("data", (chunk) => {
    printed += String(chunk);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(JSON.parse(printed) as Outcome) : reject(new Error(`exit ${code}: ${printed}`)),
    );
  });
}

const H2C = "HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nX-Empty:\r\n";
const LAST = "GET /last HTTP/1.1\r\nHOST\r\nConnection: close\r\n\r\n";
const last = ["GET", "/last", "", null, "close", null];
const offered = ["HTTP2-Settings", ""];

test.each([
  ["http", false],
  ["https", true],
])("a request by %s is served as it is, whatever its offer, on the oldest Node", async (_name, tls) => {
  const body = "0123456789".repeat(3);
  const length = `Content-Length: ${body.length}\r\n`;
  const { answers, warnings } = await outcome(tls, [
    [`GET /a?b=c HTTP/1.1\r\n${H2C}\r\n`, LAST],
    // A body, whole and in two parts.
    [`POST /a HTTP/1.1\r\n${H2C}${length}\r\n${body}`, LAST],
    [`POST /a HTTP/1.1\r\n${H2C}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, LAST],
    // Behind an answer that is slow, without waiting for it, and before another request.
    [`GET /slow HTTP/1.1\r\nHOST\r\n\r\nGET /a HTTP/1.1\r\n${H2C}\r\n${LAST}`],
    // Again and again on one connection.
    [...Array.from({ length: 20 }, (_, at) => `GET /${at} HTTP/1.1\r\n${H2C}\r\n`), LAST],
    ["GET /old HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"],
  ]);
  expect(answers).toEqual([
    [["GET", "/a?b=c", "", null, ...offered], last],
    [["POST", "/a", body, null, ...offered], last],
    [["POST", "/a", "abc", null, ...offered], last],
    [["GET", "/slow", "", null, null, null], ["GET", "/a", "", null, ...offered], last],
    [...Array.from({ length: 20 }, (_, at) => ["GET", `/${at}`, "", null, ...offered]), last],
    [["GET", "/old", "", null, null, null]],
  ]);
  expect(warnings).toEqual([]);
});

test("a body is never read as another request, however many headers hide how long it is", async () => {
  const hidden = "GET /smuggled HTTP/1.1\r\nHOST\r\n\r\n";
  const head = `POST /a HTTP/1.1\r\n${H2C}${"a:b\r\n".repeat(1_100)}`;
  const length = hidden.replace("HOST", "Host: 127.0.0.1").length;
  const { answers } = await outcome(false, [[`${head}Content-Length: ${length}\r\n\r\n${hidden}`]]);
  expect(answers).toEqual([[]]);
});
