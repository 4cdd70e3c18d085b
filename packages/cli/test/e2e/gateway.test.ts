/** A gateway in front of the deployment that admits only its own users, by a header or a client certificate. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, request as sendRequest } from "node:http";
import { type AddressInfo, connect, type Server as NetServer } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("a gateway that asks for a header", () => {
  let deployment: TestDeployment;
  let gateway: Server;
  let passed: string[] = [];
  let refused: string[] = [];
  let command: string;

  /** Forwards an upgrade request unchanged to the server and then copies all bytes. */
  function forward(request: IncomingMessage, client: Duplex, head: Buffer, port: number): void {
    const server = connect(port, "127.0.0.1", () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2)
        lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      server.write(`${lines.join("\r\n")}\r\n\r\n`);
      server.write(head);
      server.pipe(client).pipe(server);
    });
    server.on("error", () => client.destroy());
    client.on("error", () => server.destroy());
  }

  beforeAll(async () => {
    deployment = await TestDeployment.start(async (port, folder) => {
      const mayPass = (request: IncomingMessage): boolean => {
        const given = request.headers["x-gateway-ticket"];
        const path = request.url!.split("?")[0]!.replace(/[0-9a-f-]{36}/, ":id");
        const good = typeof given === "string" && given.startsWith("ticket-") && request.headers["x-fixed"] === "yes";
        (good ? passed : refused).push(path);
        return good;
      };
      gateway = createServer((request, response) => {
        if (!mayPass(request)) {
          response.writeHead(403, { "Content-Type": "text/html" }).end("<h1>Gateway: who are you?</h1>");
          return;
        }
        const { method, url: path, headers } = request;
        const onward = sendRequest({ host: "127.0.0.1", port, method, path, headers }, (answer) => {
          response.writeHead(answer.statusCode!, answer.rawHeaders);
          answer.pipe(response);
        });
        onward.on("error", () => response.destroy());
        request.pipe(onward);
      });
      gateway.on("upgrade", (request: IncomingMessage, client: Duplex, head: Buffer) => {
        if (mayPass(request)) forward(request, client, head, port);
        else client.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
      });
      await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
      // Each ticket can be used once, so the command runs for every request.
      writeFileSync(join(folder, "ticket.sh"), 'echo "X-Gateway-Ticket=ticket-$$"\necho\n');
      command = `sh ${join(folder, "ticket.sh")}`;
      return {
        url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
        environment: { CODER_HEADER_COMMAND: command, CODER_HEADER: "X-Fixed=yes" },
      };
    });
    deployment.startAgent(await deployment.createWorkspace("demo"), {
      CODER_AGENT_HEADER: "X-Fixed=yes",
      CODER_AGENT_HEADER_COMMAND: command,
    });
    const done = await deployment.run(["ssh", "demo", "--", "true"]);
    expect(done.code, done.stderr).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
    gateway?.closeAllConnections();
    gateway?.close();
  });

  it("is passed by REST, the coordinator and the relay, of commands and of the agent", async () => {
    expect(refused).toEqual([]);
    expect(passed).toContain("/api/v2/workspaceagents/me/rpc");
    passed = [];
    const done = await deployment.run(["ssh", "demo", "--", "echo through the gateway"]);
    expect([done.stdout, refused], done.stderr).toEqual(["through the gateway\n", []]);
    expect(passed).toContain("/api/v2/users/me/workspace/demo");
    expect(passed).toContain("/api/v2/workspaceagents/:id/coordinate");
    expect(passed).toContain("/derp");
  });

  it("that refuses a command without the header is shown in its own words", async () => {
    const done = await deployment.run(["list"], {
      environment: { CODER_HEADER_COMMAND: undefined, CODER_HEADER: undefined },
    });
    expect(done.code).toBe(1);
    expect(done.stderr).toContain("Gateway: who are you?");
    expect(refused).not.toEqual([]);
    refused = [];
  });

  it("a header command that fails or prints something else is named", async () => {
    const failing = await deployment.run(["--header-command", "echo no ticket >&2; exit 3", "list"]);
    expect([failing.code, failing.stderr]).toEqual([
      1,
      expect.stringContaining('The header command failed: "echo no ticket >&2; exit 3"'),
    ]);
    const odd = await deployment.run(["--header-command", "echo hello", "list"]);
    expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('the header command gave "hello"')]);
  });

  it("the command gets the deployment's URL", async () => {
    const file = join(deployment.folder, "asked");
    const done = await deployment.run(["--header-command", `${command}; printf %s "$CODER_URL" > ${file}`, "list"]);
    expect([done.code, readFileSync(file, "utf8")], done.stderr).toEqual([0, `${deployment.url}/`]);
  });
});

describe("a TLS front that demands a client certificate", () => {
  let deployment: TestDeployment;
  let front: NetServer;
  let files: Record<"ca" | "cert" | "key" | "otherCert" | "otherKey", string>;
  let connections = 0;

  beforeAll(async () => {
    deployment = await TestDeployment.start(async (port, folder) => {
      const path = (name: string): string => join(folder, `${name}.pem`);
      const make = (name: string, subject: string, ...rest: string[]): void => {
        execFileSync(
          "openssl",
          // biome-ignore format: one option and its value a pair
          ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, "-keyout", path(`${name}-key`), "-out", path(name), ...rest],
          { stdio: "ignore" },
        );
      };
      make("server", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost");
      make("client", "/CN=a person");
      make("stranger", "/CN=a stranger");
      files = {
        ca: path("server"),
        cert: path("client"),
        key: path("client-key"),
        otherCert: path("stranger"),
        otherKey: path("stranger-key"),
      };
      front = createTlsServer(
        {
          cert: readFileSync(files.ca),
          key: readFileSync(path("server-key")),
          ca: readFileSync(files.cert),
          requestCert: true,
          rejectUnauthorized: true,
          ALPNProtocols: ["http/1.1"],
        },
        (client) => {
          connections++;
          const server = connect(port, "127.0.0.1");
          server.on("error", () => client.destroy());
          client.on("error", () => server.destroy());
          client.pipe(server).pipe(client);
        },
      );
      await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
      return {
        url: `https://localhost:${(front.address() as AddressInfo).port}`,
        environment: { CODER_CA_FILE: files.ca, CODER_CLIENT_CERT: files.cert, CODER_CLIENT_KEY: files.key },
      };
    });
    // The agent is behind the TLS front, beside the server.
    deployment.startAgent(await deployment.createWorkspace("demo"), { CODER_AGENT_URL: deployment.directUrl });
  });

  afterAll(async () => {
    await deployment?.close();
    front?.close();
  });

  it("is passed by REST, the coordinator and the relay", async () => {
    connections = 0;
    const done = await deployment.run(["ssh", "demo", "--", "echo certified"]);
    expect([done.code, done.stdout], done.stderr).toEqual([0, "certified\n"]);
    expect(connections).toBeGreaterThanOrEqual(2);
  });

  it("is passed with the flags as well as with the variables", async () => {
    const none = { CODER_CA_FILE: undefined, CODER_CLIENT_CERT: undefined, CODER_CLIENT_KEY: undefined };
    const flags = ["--ca-file", files.ca, "--client-cert", files.cert, "--client-key", files.key];
    const done = await deployment.run([...flags, "whoami"], { environment: none });
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining("owner")]);
  });

  it("refuses a command without a certificate, which says what to give", async () => {
    const environment = { CODER_CLIENT_CERT: undefined, CODER_CLIENT_KEY: undefined };
    const done = await deployment.run(["list"], { environment });
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_TLS)")]);
    expect(done.stderr).toContain("--client-cert");
  });

  it("refuses a command with a certificate that it does not know", async () => {
    const environment = { CODER_CLIENT_CERT: files.otherCert, CODER_CLIENT_KEY: files.otherKey };
    const done = await deployment.run(["list"], { environment });
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/^Cannot reach https:\/\/localhost:[0-9]+: .*\(ERR_/);
    expect(done.stderr).not.toContain("ERR_BUG");
  });

  it("a certificate without its key, and a key of another certificate, are refused by name", async () => {
    const half = await deployment.run(["list"], { environment: { CODER_CLIENT_KEY: undefined } });
    expect([half.code, half.stderr]).toEqual([
      2,
      expect.stringContaining("--client-cert and --client-key belong together"),
    ]);
    const wrong = await deployment.run(["list"], { environment: { CODER_CLIENT_KEY: files.otherKey } });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain("--client-key");
    expect(wrong.stderr).not.toContain("ERR_BUG");
  });
});
