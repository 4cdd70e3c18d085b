/** Two hosts on one machine: network namespaces joined by a veth pair, made for one test and removed after it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Missing requirements of a tier, by name; empty when all are present. */
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

export class HostPair {
  readonly left: Host;
  readonly right: Host;

  /** 192.0.2.1 and 192.0.2.2 are documentation addresses: nothing outside the namespaces has them. */
  constructor(mtu = 1500) {
    const tag = `${process.pid % 100_000}x${Math.floor(Math.random() * 1000)}`;
    this.left = new Host(`wgl${tag}`, "192.0.2.1");
    this.right = new Host(`wgr${tag}`, "192.0.2.2");
    for (const host of [this.left, this.right]) ip("netns", "add", host.name);
    ip(
      "-n",
      this.left.name,
      "link",
      "add",
      "eth0",
      "mtu",
      String(mtu),
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      this.right.name,
    );
    for (const host of [this.left, this.right]) {
      ip("-n", host.name, "link", "set", "lo", "up");
      ip("-n", host.name, "addr", "add", `${host.address}/24`, "dev", "eth0");
      ip("-n", host.name, "link", "set", "eth0", "mtu", String(mtu), "up");
    }
  }

  async close(): Promise<void> {
    for (const host of [this.left, this.right]) await host.close();
    for (const host of [this.left, this.right]) ip("netns", "del", host.name);
  }
}

export class Host {
  readonly name: string;
  readonly address: string;
  readonly #children: ChildProcess[] = [];

  constructor(name: string, address: string) {
    this.name = name;
    this.address = address;
  }

  /** Runs to the end and returns stdout. */
  run(command: string, ...args: readonly string[]): string {
    return execFileSync("ip", ["netns", "exec", this.name, command, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Starts a process that lives until the host is closed. */
  start(command: string, ...args: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.name, command, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, WG_PROCESS_FOREGROUND: "1" },
    });
    this.#children.push(child);
    return child;
  }

  async close(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }
}

/** A Node script in a host that takes one JSON request a line and answers each with one JSON line. */
export class RemoteScript {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(host: Host, script: string) {
    this.#child = host.start(process.execPath, script);
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async call<Answer>(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the script ended instead of answering ${JSON.stringify(request)}`);
    const answer = JSON.parse(line.value) as { error?: string };
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer as Answer;
  }
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}
