/** `ssh -L` between our two plain peers, by a stock sshd of its own. */
import { spawn } from "node:child_process";
import { endProcess } from "./processes.ts";
import { freePort, openSshd, untilListening } from "./sshd.ts";
import { plainPair, type StreamPair } from "./streams.ts";

/** @param cipher As OpenSSH names it. */
export async function sshForwardPair(cipher: string): Promise<StreamPair> {
  await using owned = new AsyncDisposableStack();
  const pair = await plainPair({ listenHost: "127.0.0.1" }, async (farPort) =>
    owned.use(await openSshForward(cipher, farPort)),
  );
  owned.use(pair);
  const moved = owned.move();
  return { ...pair, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

export interface SshForward extends AsyncDisposable {
  /** Local port that forwards streams to the other side. */
  readonly host: string;
  readonly port: number;
}

/** sshd and `ssh -L` to a port of this machine. */
export async function openSshForward(cipher: string, farPort: number): Promise<SshForward> {
  await using owned = new AsyncDisposableStack();
  const server = owned.use(await openSshd());
  const port = await freePort();
  const client = spawn(
    "ssh",
    [
      ...["-F", "none", "-N", "-T", "-c", cipher, ...server.options.flatMap((option) => ["-o", option])],
      ...["-o", "ExitOnForwardFailure=yes", "-L", `127.0.0.1:${port}:127.0.0.1:${farPort}`],
      `${server.user}@127.0.0.1`,
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  owned.defer(() => endProcess(client));
  await untilListening("ssh -L", port, client);
  const moved = owned.move();
  return { host: "127.0.0.1", port, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}
