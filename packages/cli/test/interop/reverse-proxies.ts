/**
 * The reverse proxies of deploy/reverse-proxy: each runs with that very file, in which only names, ports and paths are changed.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";

/**
 * The tests' proxies end connections that are silent for this many seconds: less than the relay's keepalive interval of 45 s,
 * more than the 25 s of a tunnel in use.
 */
export const IDLE_SECONDS = 35;

const FOLDER = join(import.meta.dirname, "../../../../deploy/reverse-proxy");
const START_MS = 30_000;

/** What a test provides to a proxy: ports of 127.0.0.1, and a certificate for localhost. */
interface Place {
  readonly folder: string;
  readonly port: number;
  readonly plainPort: number;
  readonly serverPort: number;
  readonly certificate: string;
  readonly key: string;
}

export interface ReverseProxy {
  /** Name of the program, shown when it is missing. */
  readonly program: string;
  readonly file: string;
  /** How the relay connection passes. */
  readonly relay: "raw" | "websocket";
  /** Whether it ends silent connections at all. */
  readonly hasIdleTimeout: boolean;
  /** Texts in the file and their replacements in the test. Each text must occur. */
  replacements(place: Place): readonly (readonly [string, string])[];
  /** The command line that runs it in the foreground. May write further files. */
  command(place: Place, config: string): readonly string[];
}

export const REVERSE_PROXIES: readonly ReverseProxy[] = [
  {
    program: "nginx",
    file: "nginx.conf",
    relay: "raw",
    hasIdleTimeout: true,
    replacements: ({ port, plainPort, serverPort, certificate, key }) => [
      ["listen 80;", `listen 127.0.0.1:${plainPort};`],
      ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
      ["server_name coder.example.com;", "server_name localhost;"],
      ["/etc/ssl/coder/fullchain.pem", certificate],
      ["/etc/ssl/coder/privkey.pem", key],
      ["http://127.0.0.1:3000", `http://127.0.0.1:${serverPort}`],
      ["proxy_read_timeout 10m;", `proxy_read_timeout ${IDLE_SECONDS}s;`],
      ["proxy_send_timeout 10m;", `proxy_send_timeout ${IDLE_SECONDS}s;`],
    ],
    command: ({ folder }, config) => {
      const main = join(folder, "main.conf");
      const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
      const temporary = kinds.map((kind) => `  ${kind}_temp_path ${folder}/${kind};\n`).join("");
      const http = `http {\n  access_log off;\n${temporary}  include ${config};\n}\n`;
      writeFileSync(main, `daemon off;\npid ${folder}/pid;\nerror_log stderr warn;\nevents {}\n${http}`);
      return ["-p", folder, "-c", main];
    },
  },
  {
    program: "haproxy",
    file: "haproxy.cfg",
    relay: "raw",
    hasIdleTimeout: true,
    replacements: ({ folder, port, plainPort, serverPort, certificate, key }) => {
      const both = join(folder, "both.pem");
      writeFileSync(both, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
      return [
        ["bind :80\n", `bind 127.0.0.1:${plainPort}\n`],
        ["bind :443 ", `bind 127.0.0.1:${port} `],
        ["/etc/haproxy/coder.pem", both],
        ["127.0.0.1:3000\n", `127.0.0.1:${serverPort}\n`],
        ["timeout client 10m", `timeout client ${IDLE_SECONDS}s`],
        ["timeout server 10m", `timeout server ${IDLE_SECONDS}s`],
        ["timeout tunnel 10m", `timeout tunnel ${IDLE_SECONDS}s`],
      ];
    },
    command: (_place, config) => ["-db", "-f", config],
  },
  {
    program: "apache2",
    file: "apache.conf",
    relay: "raw",
    hasIdleTimeout: true,
    replacements: ({ port, plainPort, serverPort, certificate, key }) => [
      ["*:80>", `127.0.0.1:${plainPort}>`],
      ["*:443>", `127.0.0.1:${port}>`],
      ["ServerName coder.example.com", "ServerName localhost"],
      ["/etc/ssl/coder/fullchain.pem", certificate],
      ["/etc/ssl/coder/privkey.pem", key],
      ["http://127.0.0.1:3000/ ", `http://127.0.0.1:${serverPort}/ `],
      ["timeout=600", `timeout=${IDLE_SECONDS}`],
      ["ProxyTimeout 600", `ProxyTimeout ${IDLE_SECONDS}`],
    ],
    command: ({ folder, port, plainPort }, config) => {
      const main = join(folder, "main.conf");
      const modules = [
        // biome-ignore format: what a2enmod and Debian's defaults load
        "mpm_event",
        "authz_core",
        "alias",
        "reqtimeout",
        "ssl",
        "socache_shmcb",
        "headers",
        "proxy",
        "proxy_http",
      ].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`);
      // reqtimeout as in Debian. Apache ends a connection after the longer one of its two time-outs.
      const text = `${modules.join("")}ServerRoot ${folder}
ServerName localhost
DefaultRuntimeDir ${folder}
PidFile ${folder}/pid
ErrorLog ${folder}/log
User www-data
Group www-data
Timeout ${IDLE_SECONDS}
RequestReadTimeout header=20-40,minrate=500 body=20,minrate=500
Listen 127.0.0.1:${plainPort}
Listen 127.0.0.1:${port}
Include ${config}
`;
      writeFileSync(main, text);
      return ["-D", "FOREGROUND", "-f", main];
    },
  },
  {
    program: "caddy",
    file: "Caddyfile",
    relay: "raw",
    hasIdleTimeout: false,
    replacements: ({ port, serverPort, certificate, key }) => [
      ["\ncoder.example.com {", `\nhttps://localhost:${port} {`],
      ["# tls /etc/ssl/coder/fullchain.pem /etc/ssl/coder/privkey.pem", `tls ${certificate} ${key}`],
      ["reverse_proxy 127.0.0.1:3000", `reverse_proxy 127.0.0.1:${serverPort}`],
    ],
    command: ({ folder, plainPort }, config) => {
      const options = `{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port ${plainPort}\n\tstorage file_system ${folder}/storage\n}\n`;
      writeFileSync(config, options + readFileSync(config, "utf8"));
      return ["run", "--config", config, "--adapter", "caddyfile"];
    },
  },
];

export class RunningProxy {
  readonly url: string;
  readonly plainUrl: string;
  /** The trusted certificate. */
  readonly certificate: string;
  readonly #child: ChildProcess;

  static async start(proxy: ReverseProxy, serverPort: number, folder: string): Promise<RunningProxy> {
    const own = join(folder, "proxy");
    mkdirSync(own, { mode: 0o755 });
    const [port, plainPort] = [await freePort(), await freePort()];
    const place = { folder: own, port, plainPort, serverPort, ...makeCertificate(own) };
    const config = join(own, proxy.file);
    writeFileSync(config, fill(proxy, place));
    const child = spawn(proxy.program, proxy.command(place, config), {
      env: { PATH: process.env["PATH"], HOME: own },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const running = new RunningProxy(child, port, plainPort, place.certificate);
    await running.#listens(port);
    return running;
  }

  private constructor(child: ChildProcess, port: number, plainPort: number, certificate: string) {
    this.#child = child;
    this.url = `https://localhost:${port}`;
    this.plainUrl = `http://localhost:${plainPort}`;
    this.certificate = certificate;
  }

  async #listens(port: number): Promise<void> {
    let said = "";
    this.#child.stderr!.on("data", (chunk) => {
      said = (said + String(chunk)).slice(-4_000);
    });
    this.#child.once("error", (error) => {
      said += String(error);
    });
    for (const until = Date.now() + START_MS; Date.now() < until; await sleep(50)) {
      const open = await new Promise<boolean>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => resolve(true));
        socket.once("connect", () => socket.destroy());
        socket.once("error", () => resolve(false));
      });
      if (open) return;
      if (this.#child.exitCode !== null) break;
    }
    throw new Error(`${this.#child.spawnfile} does not listen: ${said}`);
  }

  /** Lets the masters end their workers, which a kill would leave behind. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const over = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await over;
  }
}

function fill(proxy: ReverseProxy, place: Place): string {
  let text = readFileSync(join(FOLDER, proxy.file), "utf8");
  for (const [from, to] of proxy.replacements(place)) {
    if (!text.includes(from)) throw new Error(`${proxy.file} has no ${JSON.stringify(from)}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

function makeCertificate(folder: string): { certificate: string; key: string } {
  const [certificate, key] = [join(folder, "fullchain.pem"), join(folder, "privkey.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  if (!existsSync(key)) throw new Error("openssl made no key");
  return { certificate, key };
}
