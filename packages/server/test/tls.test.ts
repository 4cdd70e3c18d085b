import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServer, temporaryDirectory } from "./helpers.ts";

let directory: string;
beforeAll(() => {
  directory = temporaryDirectory();
  for (const name of ["one.example", "two.example"]) {
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        `/CN=${name}`,
        "-addext",
        `subjectAltName=DNS:${name}`,
        "-keyout",
        join(directory, `${name}.key`),
        "-out",
        join(directory, `${name}.pem`),
      ],
      { stdio: "ignore" },
    );
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string): string {
  return join(directory, name);
}

const flags = () => ({
  "tls-enable": true,
  "tls-address": "127.0.0.1:0",
  "tls-cert-file": [file("one.example.pem"), file("two.example.pem")],
  "tls-key-file": [file("one.example.key"), file("two.example.key")],
  "strict-transport-security": "3600",
  "allowed-hosts": "one.example,two.example",
});

test("https serves the certificate that names the host, the first otherwise, and sends HSTS", async () => {
  await using server = await startServer({ flags: flags() });
  const port = server.server.tlsAddress?.port ?? 0;
  const subject = (servername: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  expect(await subject("two.example")).toBe("two.example");
  expect(await subject("one.example")).toBe("one.example");
  expect(await subject("three.example")).toBe("one.example");

  const answer = await new Promise<{ status: number | undefined; hsts: string | undefined }>((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        servername: "one.example",
        ca: readFileSync(file("one.example.pem")),
        headers: { Host: "one.example" },
        path: "/healthz",
        agent: false,
      },
      (response) => {
        response.resume();
        resolve({ status: response.statusCode, hsts: response.headers["strict-transport-security"] });
      },
    )
      .on("error", reject)
      .end();
  });
  expect(answer).toEqual({ status: 200, hsts: "max-age=3600" });
  expect(server.server.context.accessUrl().protocol).toBe("https:");
});

test("security 39: TLS below 1.2 is refused, and tls13 means 1.3 only", async () => {
  const works = async (min: string, version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3") => {
    await using server = await startServer({ flags: { ...flags(), "tls-min-version": min } });
    return await new Promise<boolean>((resolve) => {
      const socket = connect({
        port: server.server.tlsAddress?.port ?? 0,
        host: "127.0.0.1",
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        // OpenSSL leaves 1.1 out at its default level; the server must refuse even a client that lowers it.
        ciphers: "DEFAULT@SECLEVEL=0",
      });
      socket.on("secureConnect", () => {
        resolve(true);
        socket.destroy();
      });
      socket.on("error", () => resolve(false));
    });
  };
  expect(await works("tls12", "TLSv1.1")).toBe(false);
  expect(await works("tls12", "TLSv1.2")).toBe(true);
  expect(await works("tls13", "TLSv1.2")).toBe(false);
  expect(await works("tls13", "TLSv1.3")).toBe(true);
});

test("security 39: plain http beyond loopback prints a warning, loopback does not", async () => {
  await using open = await startServer({ flags: { "http-address": "0.0.0.0:0" } });
  expect(open.log.text).toContain("plain http is reachable from other machines");
  await using closed = await startServer();
  expect(closed.log.text).not.toContain("plain http");
});

test("a certificate and a key that do not belong together are refused", async () => {
  const mixed = { ...flags(), "tls-cert-file": file("one.example.pem"), "tls-key-file": file("two.example.key") };
  await expect(startServer({ flags: mixed })).rejects.toMatchObject({
    code: "ERR_TLS_CERTIFICATE",
    why: "they do not belong together",
  });
});
