/**
 * SIGHUP, as sent by `systemctl reload`: the server reads its certificates again and continues. When its terminal closes, it
 * ends.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PtyCommand } from "./pty.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const folder = mkdtempSync(join(tmpdir(), "coder-reload-"));
const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
const children: ChildProcess[] = [];
const SILENT = ["--stun-address", "disable", "--derp-server-stun-addresses", "disable"];
const environment = { PATH: process.env["PATH"], HOME: folder };

beforeAll(() => {
  for (const name of ["one.example", "two.example"]) {
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=${name}`.split(
      " ",
    );
    const files = ["-keyout", join(folder, `${name}.key`), "-out", join(folder, `${name}.pem`)];
    execFileSync("openssl", [...words, ...files], { stdio: "ignore" });
  }
});
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

describe("SIGHUP", () => {
  it("gives new handshakes the new certificate, keeps open connections, and keeps the old one when files do not fit", async () => {
    use("one.example", "one.example");
    const tls = ["--tls-enable", "--tls-address", "127.0.0.1:0", "--tls-cert-file", cert, "--tls-key-file", key];
    const args = ["server", "--state-dir", join(folder, "state"), ...tls, ...SILENT];
    // As in the settings of a service.
    const env = { ...environment, CODER_HTTP_ADDRESS: "" };
    const server = spawn(process.execPath, [coder, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    children.push(server);
    let output = "";
    for (const stream of [server.stdout, server.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
    const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const found = pattern.exec(output);
        if (found !== null) return found;
        if (server.exitCode !== null || server.signalCode !== null) throw new Error(`it ended: ${output}`);
        await Promise.race([once(server.stdout, "data"), once(server.stderr, "data"), once(server, "exit")]);
      }
    };
    const port = Number((await says(/https:\/\/127\.0\.0\.1:(\d+)/))[1]);
    const before = await handshake(port);
    expect(nameOf(before)).toBe("one.example");
    expect(output).not.toContain("Listening on http:");

    use("two.example", "one.example"); // the key does not fit yet
    server.kill("SIGHUP");
    await says(/not reloaded.*stay in use[^\n]*SIGHUP[^\n]*do not belong together/);
    const meanwhile = await handshake(port);
    expect(nameOf(meanwhile)).toBe("one.example");
    meanwhile.destroy();

    use("two.example", "two.example");
    server.kill("SIGHUP");
    await says(/TLS certificates reloaded[^\n]*SIGHUP/);
    const after = await handshake(port);
    expect(nameOf(after)).toBe("two.example");
    for (const socket of [before, after]) {
      socket.write("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
      const [answer] = (await once(socket, "data")) as [Buffer];
      expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
      socket.destroy();
    }

    const health = (...words: string[]) =>
      spawnSync(process.execPath, [coder, "server", "health", ...words], { env: environment, encoding: "utf8" });
    const asked = [
      "--http-address",
      "",
      "--tls-enable",
      "--tls-cert-file",
      cert,
      "--tls-key-file",
      key,
      "--tls-address",
    ];
    const url = `https://127.0.0.1:${port}/healthz`;
    expect(health(...asked, `0.0.0.0:${port}`)).toMatchObject({ status: 0, stdout: `${url} is healthy\n` });

    server.kill("SIGTERM");
    expect(await once(server, "exit")).toEqual([0, null]);
    const late = health(...asked, `127.0.0.1:${port}`);
    expect([late.status, late.stderr]).toEqual([1, expect.stringContaining(`No server answers at ${url}`)]);
  }, 30_000);

  it("ends a server whose terminal is closed", async () => {
    const args = ["server", "--http-address", "127.0.0.1:0", "--state-dir", join(folder, "terminal"), ...SILENT];
    const command = new PtyCommand(args, environment);
    await command.sees(/Listening on http/);
    command.hangUp();
    await command.ended();
  }, 90_000);
});

function use(certificate: string, privateKey: string): void {
  copyFileSync(join(folder, `${certificate}.pem`), cert);
  copyFileSync(join(folder, `${privateKey}.key`), key);
}

async function handshake(port: number): Promise<TLSSocket> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return socket;
}

function nameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}
