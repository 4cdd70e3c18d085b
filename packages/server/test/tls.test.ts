import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { connect } from "node:tls";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PASSWORD, startServer, temporaryDirectory } from "./helpers.ts";

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
  expect(server.server.parts.addresses.accessUrl().protocol).toBe("https:");
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
        // OpenSSL disables TLS 1.1 at its default level; the server must refuse even a client that lowers the level.
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

/** The name in the certificate that a new handshake gets. */
function certificateName(port: number, servername?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject?.CN ?? ""));
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

/** Waits for a matching line of the log. */
async function logged(log: { text: string }, pattern: RegExp): Promise<void> {
  while (!pattern.test(log.text)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function single() {
  const own = temporaryDirectory();
  const put = (name: string, part: "pem" | "key" = "pem") =>
    writeFileSync(join(own, `cert.${part}`), readFileSync(file(`${name}.${part}`)));
  put("one.example");
  put("one.example", "key");
  const tlsFlags = {
    "tls-enable": true,
    "tls-address": "127.0.0.1:0",
    "tls-cert-file": join(own, "cert.pem"),
    "tls-key-file": join(own, "cert.key"),
  };
  return { own, put, tlsFlags, [Symbol.dispose]: () => rmSync(own, { recursive: true, force: true }) };
}

test("certificates are read again on request; files that cannot be used change nothing, and the log says why", async () => {
  using files = single();
  await using test = await startServer({ flags: files.tlsFlags, deps: { certificateCheckMs: 3_600_000 } });
  const port = test.server.tlsAddress?.port ?? 0;
  expect(await certificateName(port)).toBe("one.example");
  files.put("two.example");
  test.server.reloadCertificates("SIGHUP"); // the key is still the old one
  expect(test.log.text).toMatch(/not reloaded.*stay in use/);
  expect(test.log.text).toContain("they do not belong together");
  expect(await certificateName(port)).toBe("one.example");
  files.put("two.example", "key");
  test.server.reloadCertificates("SIGHUP");
  expect(test.log.text).toContain("TLS certificates reloaded");
  expect(await certificateName(port)).toBe("two.example");
  expect(await certificateName(port, "two.example")).toBe("two.example");
  rmSync(join(files.own, "cert.pem"));
  test.server.reloadCertificates("SIGHUP");
  expect(test.log.text).toContain("there is no such file");
  expect(await certificateName(port)).toBe("two.example");
});

test("a file that changes is noticed", async () => {
  using files = single();
  await using test = await startServer({ flags: files.tlsFlags, deps: { certificateCheckMs: 20 } });
  const port = test.server.tlsAddress?.port ?? 0;
  expect(await certificateName(port)).toBe("one.example");
  files.put("two.example");
  files.put("two.example", "key");
  await logged(test.log, /"TLS certificates reloaded"/);
  expect(await certificateName(port)).toBe("two.example");
});

test("SIGHUP without TLS has no effect", async () => {
  await using test = await startServer();
  test.server.reloadCertificates("SIGHUP");
  expect(test.log.text).toContain("there are no TLS certificates to reload");
});

test("the health report trusts the server's own certificate, self-signed or not", async () => {
  using files = single();
  execFileSync(
    "openssl",
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout cert.key -out cert.pem".split(
      " ",
    ),
    { cwd: files.own, stdio: "ignore" },
  );
  await using test = await startServer({
    flags: {
      ...files.tlsFlags,
      "http-address": "",
      "stun-address": "disable",
      "derp-server-stun-addresses": "disable",
      "block-direct-connections": true,
    },
  });
  const { port } = test.server.tlsAddress!;
  const ca = readFileSync(join(files.own, "cert.pem"));
  const ask = (method: string, path: string, token: string, body?: object) =>
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
    new Promise<any>((resolve, reject) => {
      const headers = { [SESSION_TOKEN_HEADER]: token, "Content-Type": "application/json" };
      const outgoing = request({ port, host: "localhost", method, path, ca, headers, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += String(chunk);
        });
        response.on("end", () => resolve(text === "" ? undefined : JSON.parse(text)));
      });
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const user = { email: "ada@example.com", username: "ada", password: PASSWORD };
  await ask("POST", "/api/v2/users/first", "", user);
  const { session_token: token } = await ask("POST", "/api/v2/users/login", "", user);
  const report = await ask("GET", "/api/v2/debug/health", token);
  expect(report.access_url).toMatchObject({ healthy: true, reachable: true });
  expect(report.websocket).toMatchObject({ healthy: true });
  expect(report.derp).toMatchObject({ healthy: true });
}, 30_000);
