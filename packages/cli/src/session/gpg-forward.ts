/**
 * `coder ssh -G`: programs in the workspace sign and decrypt with the keys of this machine's gpg-agent, which stay here. The
 * public keys and their trust levels are copied to the workspace; the agent is reached by its extra socket, made for remote use.
 */
import { execFile } from "node:child_process";
import { connect as connectSocket } from "node:net";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import type { Client } from "ssh2";
import { UserError } from "../errors/user-error.ts";

const LOCAL_TIMEOUT_MS = 20_000;
const MAX_KEYRING_BYTES = 64 * 1024 * 1024;
const NOT_FOUND = 127;

/** Rejects with a UserError that says what is missing and on which side. The forward ends with the client. */
export async function forwardGpg(client: Client, stderr: Writable): Promise<void> {
  const [extraSocket, keys, trust] = await localAgent();
  const remoteSocket = await remoteAgentSocket(client);
  await remote(client, "gpgconf --kill gpg-agent", undefined, "its gpg-agent cannot be stopped");
  const quoted = `'${remoteSocket.replaceAll("'", "'\\''")}'`;
  await remote(client, `mkdir -p -m 700 "$(dirname ${quoted})" && rm -f ${quoted}`, undefined, "its socket's folder");
  // Prevents gpg in the workspace from starting an agent, which would take the socket.
  if (keys.length > 0)
    await remote(client, "gpg --batch --no-autostart --quiet --import", keys, "the public keys cannot be imported");
  if (trust.length > 0)
    await remote(
      client,
      "gpg --batch --no-autostart --quiet --import-ownertrust",
      trust,
      "the trust cannot be imported",
    );
  await listen(client, remoteSocket, extraSocket, stderr);
}

/** The extra socket, the public keys and their trust levels. */
async function localAgent(): Promise<[socket: string, keys: Buffer, trust: Buffer]> {
  const run = async (program: string, ...args: string[]): Promise<Buffer> => {
    try {
      const { stdout } = await promisify(execFile)(program, args, {
        encoding: "buffer",
        timeout: LOCAL_TIMEOUT_MS,
        maxBuffer: MAX_KEYRING_BYTES,
      });
      return stdout;
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
      throw new UserError("There is no GPG agent to forward", {
        why: missing ? `${program} is not installed on this machine` : `${program} ${args.join(" ")} failed here`,
        next: missing ? ["install GnuPG 2.2 or later"] : [`${program} ${args.join(" ")}`],
        code: "ERR_NO_GPG",
        cause: error,
      });
    }
  };
  const socket = (await run("gpgconf", "--list-dirs", "agent-extra-socket")).toString("utf8").trim();
  if (!socket.startsWith("/")) {
    throw new UserError("There is no GPG agent to forward", {
      why: `gpgconf names no extra socket, but ${JSON.stringify(socket.slice(0, 100))}`,
      next: ["update GnuPG to 2.2 or later"],
      code: "ERR_NO_GPG",
    });
  }
  await run("gpgconf", "--launch", "gpg-agent");
  return [socket, await run("gpg", "--batch", "--export"), await run("gpg", "--batch", "--export-ownertrust")];
}

async function remoteAgentSocket(client: Client): Promise<string> {
  const { code, stdout } = await exec(client, "gpgconf --list-dirs agent-socket");
  const path = stdout.toString("utf8").trimEnd().split("\n").at(-1) ?? ""; // ~/.ssh/rc may print before
  if (code === 0 && path.startsWith("/") && !/[\0\r\n]/.test(path)) return path;
  throw new UserError("The GPG agent cannot be forwarded to the workspace", {
    why: code === NOT_FOUND ? "GnuPG is not installed in the workspace" : `gpgconf ended there with ${code}`,
    next: ["install GnuPG 2.2 or later in the workspace: gnupg2, or gnupg"],
    code: "ERR_NO_GPG",
  });
}

async function remote(client: Client, command: string, input: Buffer | undefined, problem: string): Promise<void> {
  const { code, stderr } = await exec(client, command, input);
  if (code === 0) return;
  throw new UserError("The GPG agent cannot be forwarded to the workspace", {
    why: `${problem}: ${stderr.toString("utf8").trim().slice(0, 300)}`,
    next: [`run it in the workspace: ${command}`],
    code: "ERR_NO_GPG",
  });
}

function exec(
  client: Client,
  command: string,
  input: Buffer = Buffer.alloc(0),
): Promise<{ code: number; stdout: Buffer; stderr: Buffer }> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error !== undefined && error !== null) {
        reject(error);
        return;
      }
      const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
      let code = -1;
      channel.on("data", (chunk: Buffer) => stdout.push(chunk));
      channel.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      channel.on("exit", (status: number | null) => {
        code = status ?? -1;
      });
      channel.on("close", () => resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }));
      channel.end(input);
    });
  });
}

async function listen(client: Client, remoteSocket: string, extraSocket: string, stderr: Writable): Promise<void> {
  client.on("unix connection", (details, accept) => {
    if (details.socketPath !== remoteSocket) return;
    const channel = accept();
    const socket = connectSocket({ path: extraSocket });
    socket.on("error", (error) => {
      stderr.write(`coder: the GPG agent of this machine does not answer: ${error.message}\r\n`);
      channel.close();
    });
    channel.on("error", () => socket.destroy());
    channel.on("close", () => socket.destroy());
    socket.pipe(channel).pipe(socket);
  });
  await new Promise<void>((resolve, reject) => {
    client.openssh_forwardInStreamLocal(remoteSocket, (error) => {
      if (error === undefined || error === null) resolve();
      else
        reject(
          new UserError("The GPG agent cannot be forwarded to the workspace", {
            why: `its agent does not listen on ${remoteSocket}: ${error.message}`,
            code: "ERR_NO_GPG",
            cause: error,
          }),
        );
    });
  });
}
