/** A small internet in network namespaces: named hosts on one bridge, made for one test and removed after it. */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { within } from "./deadline.ts";

/** Limits for one command, and for a process to end after SIGTERM. */
const RUN_MS = 60_000;
const EXIT_MS = 10_000;

/** Names of the missing tools that this tier needs; empty when all are there. */
export function missingTools(...tools: readonly string[]): string[] {
  const missing = tools.filter((tool) => {
    try {
      execFileSync("sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
      return false;
    } catch {
      return true;
    }
  });
  return process.getuid?.() === 0 ? missing : [...missing, "root"];
}

export class Lab {
  readonly #tag = `${process.pid % 100_000}${Math.floor(Math.random() * 100)}`;
  readonly #hosts: LabHost[] = [];
  readonly #bridge: string;

  constructor() {
    this.#bridge = `lab${this.#tag}`;
    ip("netns", "add", this.#bridge);
    ip("-n", this.#bridge, "link", "add", "br0", "type", "bridge");
    ip("-n", this.#bridge, "link", "set", "br0", "up");
  }

  /** Adds a host 198.18.0.<n> (addresses reserved for benchmarks) to the bridge. */
  addHost(): LabHost {
    const number = this.#hosts.length + 1;
    const host = new LabHost(`lab${this.#tag}h${number}`, `198.18.0.${number}`);
    ip("netns", "add", host.name);
    ip("-n", this.#bridge, "link", "add", `p${number}`, "type", "veth", "peer", "name", "eth0", "netns", host.name);
    ip("-n", this.#bridge, "link", "set", `p${number}`, "master", "br0", "up");
    ip("-n", host.name, "link", "set", "lo", "up");
    ip("-n", host.name, "addr", "add", `${host.address}/24`, "dev", "eth0");
    ip("-n", host.name, "link", "set", "eth0", "up");
    this.#hosts.push(host);
    return host;
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.killAll();
    for (const host of this.#hosts) ip("netns", "del", host.name);
    ip("netns", "del", this.#bridge);
  }
}

export class LabHost {
  readonly name: string;
  readonly address: string;
  readonly #children = new Set<ChildProcess>();

  constructor(name: string, address: string) {
    this.name = name;
    this.address = address;
  }

  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.name, command, ...args], options);
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  run(command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; input?: string } = {}): string {
    return execFileSync("ip", ["netns", "exec", this.name, command, ...args], {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      timeout: RUN_MS,
      ...options,
    });
  }

  /** Sets the link down or up. */
  link(state: "up" | "down"): void {
    ip("-n", this.name, "link", "set", "eth0", state);
  }

  /** Resets every TCP connection to or from `port` of the other side, until the rule is removed. */
  resetConnections(port: number): () => void {
    this.run("nft", ["-f", "-"], {
      input: `table inet cut {\n chain out {\n type filter hook output priority 0\n tcp dport ${port} reject with tcp reset\n }\n chain in {\n type filter hook input priority 0\n tcp sport ${port} reject with tcp reset\n }\n}\n`,
    });
    return () => this.run("nft", ["delete", "table", "inet", "cut"]);
  }

  async killAll(): Promise<void> {
    for (const child of [...this.#children]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const over = once(child, "exit");
      child.kill("SIGKILL");
      await within(`the end of ${child.spawnargs.join(" ")} after SIGKILL`, EXIT_MS, over);
    }
  }
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"], timeout: EXIT_MS });
}
