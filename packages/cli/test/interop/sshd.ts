/** A real sshd on loopback for comparisons, with one user and one key, independent of the machine's configuration. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";

export const SSHD = "/usr/sbin/sshd";

export interface StockServer {
  readonly process: ChildProcess;
  readonly port: number;
  /** Private key of the user. */
  readonly key: string;
}

/** @param folder For its keys. */
export async function startSshd(folder: string): Promise<StockServer> {
  for (const name of ["host", "key"])
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  execFileSync("cp", [join(folder, "key.pub"), join(folder, "authorized")]);
  // sshd needs its privilege separation directory but does not create it.
  if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true });
  const port = await freePort();
  const settings = {
    Port: port,
    ListenAddress: "127.0.0.1",
    HostKey: join(folder, "host"),
    PidFile: "none",
    AuthorizedKeysFile: join(folder, "authorized"),
    StrictModes: "no",
    UsePAM: "no",
    PermitRootLogin: "yes",
    PasswordAuthentication: "no",
    PrintMotd: "no",
    PrintLastLog: "no",
    MaxStartups: "100",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const process = spawn(SSHD, ["-D", "-e", "-f", "/dev/null", ...options], { stdio: "ignore" });
  for (let tries = 0; tries < 200; tries++) {
    const socket = connect({ port, host: "127.0.0.1" });
    const up = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (up) return { process, port, key: join(folder, "key") };
    await sleep(25);
  }
  throw new Error("sshd does not listen");
}
