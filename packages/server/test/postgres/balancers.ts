/** nginx and HAProxy from the files of deploy/cluster, with names, ports and paths changed, and without TLS. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";

const FOLDER = join(import.meta.dirname, "../../../../deploy/cluster");

export interface Balancer extends AsyncDisposable {
  readonly url: string;
}

/** Limit of nginx while nothing else is needed: a forwarded connection uses two. */
const CONNECTIONS = 512;

export interface BalancerProgram {
  readonly program: string;
  readonly file: string;
  /** The file with `port` and `servers` filled in. */
  configure(text: string, port: number, servers: readonly number[]): string;
  /** The command line that runs it in the foreground, or checks the file. `connections` limits its open connections. */
  command(folder: string, file: string, check: boolean, connections: number): readonly string[];
}

export const BALANCERS: readonly BalancerProgram[] = [
  {
    program: "nginx",
    file: "nginx.conf",
    configure: (text, port, servers) =>
      replaced(text, [
        [/^ {2}server 10\..*$(\n {2}server 10\..*$)*/m, serverLines(servers, (at) => `  server ${at} max_fails=0;`)],
        [/^server \{\n {2}listen 80;[^}]*\}\n/m, ""],
        [/listen 443 ssl;/, `listen 127.0.0.1:${port};`],
        [/^ {2}ssl_.*\n {2}ssl_.*\n {2}ssl_.*\n/m, ""],
        [/server_name coder\.example\.com;/, "server_name localhost;"],
      ]),
    command: (folder, file, check, connections) => {
      const main = join(folder, "main.conf");
      const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
      const temporary = kinds.map((kind) => `  ${kind}_temp_path ${folder}/${kind};\n`).join("");
      const http = `http {\n  access_log off;\n${temporary}  include ${file};\n}\n`;
      const events = `worker_rlimit_nofile ${connections + 512};\nevents { worker_connections ${connections}; }\n`;
      writeFileSync(main, `daemon off;\npid ${folder}/pid;\nerror_log stderr error;\n${events}${http}`);
      return ["-p", folder, "-c", main, ...(check ? ["-t"] : [])];
    },
  },
  {
    program: "haproxy",
    file: "haproxy.cfg",
    configure: (text, port, servers) =>
      replaced(text, [
        [
          /^ {2}server coder1 .*$(\n {2}server coder\d .*$)*/m,
          serverLines(servers, (at, i) => `  server coder${i} ${at}`),
        ],
        [/^ {2}bind :80\n {2}bind :443 .*$/m, `  bind 127.0.0.1:${port}`],
        [/^ {2}http-request redirect .*\n/m, ""],
        [/hdr Host coder\.example\.com$/m, "hdr Host localhost"],
      ]),
    command: (_folder, file, check) => [...(check ? ["-c"] : ["-db"]), "-f", file],
  },
];

/** The programs that this machine has. */
export const INSTALLED: ReadonlySet<string> = new Set(
  BALANCERS.map(({ program }) => program).filter(
    (program) => spawnSync(program, ["-v"], { stdio: "ignore" }).status === 0,
  ),
);

/** Checks the file with the program itself, then runs the program in front of the servers. */
export async function startProgram(
  kind: BalancerProgram,
  servers: readonly number[],
  connections = CONNECTIONS,
): Promise<Balancer & { readonly pid: number }> {
  const folder = mkdtempSync(join(tmpdir(), `${kind.program}-`));
  const port = await freePort();
  const file = join(folder, kind.file);
  writeFileSync(file, kind.configure(readFileSync(join(FOLDER, kind.file), "utf8"), port, servers));
  const checked = spawnSync(kind.program, kind.command(folder, file, true, connections), { encoding: "utf8" });
  if (checked.status !== 0) throw new Error(`${kind.program} refuses the file: ${checked.stderr}`);
  const child = spawn(kind.program, kind.command(folder, file, false, connections), { stdio: "ignore" });
  const ended = once(child, "exit");
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`${kind.program} ended with ${child.exitCode}`);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid!,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function replaced(text: string, replacements: readonly (readonly [RegExp, string])[]): string {
  return replacements.reduce((changed, [pattern, by]) => {
    if (!pattern.test(changed)) throw new Error(`the file has no ${pattern}`);
    return changed.replace(pattern, by);
  }, text);
}

function serverLines(ports: readonly number[], line: (address: string, index: number) => string): string {
  return ports.map((port, index) => line(`127.0.0.1:${port}`, index)).join("\n");
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => setTimeout(() => resolve(false), 50));
  });
}
