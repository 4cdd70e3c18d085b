/** The messages about an untrusted certificate, and the flag that helps. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("TLS", () => {
  let deployment: TestDeployment;
  let server: Server;
  let port: number;
  let certificate: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    certificate = join(deployment.folder, "cert.pem");
    const key = join(deployment.folder, "key.pem");
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        key,
        "-out",
        certificate,
      ],
      { stdio: "ignore" },
    );
    server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (_request, response) => {
      response.writeHead(401, { "X-Coder-Build-Version": "v2.26.0", "Content-Type": "application/json" });
      response.end('{"message":"no"}');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });

  afterAll(async () => {
    server?.close();
    await deployment?.close();
  });

  it("an unknown authority is named, with --ca-file as the remedy", async () => {
    const done = await deployment.run(["--url", `https://localhost:${port}`, "list"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_TLS_UNTRUSTED)")]);
    expect(done.stderr).toContain("--ca-file");
  });

  it("--ca-file makes it trusted", async () => {
    const done = await deployment.run(["--url", `https://localhost:${port}`, "--ca-file", certificate, "list"]);
    expect(done.stderr).toContain("(ERR_UNAUTHORIZED)");
  });

  it("a name that the certificate does not carry is reported", async () => {
    const done = await deployment.run(["--url", `https://127.0.0.1:${port}`, "--ca-file", certificate, "list"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_TLS_NAME_MISMATCH)")]);
  });

  it("a file that is not a certificate is refused by name", async () => {
    const done = await deployment.run(["--ca-file", deployment.write("not.pem", "hello"), "list"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("is not a PEM file")]);
  });
});
