/** A session over one connection: its SSH client, forwards and notices, which end with it in reverse order. */

import type { ConnectedWorkspace } from "coder-client/connection/connect";
import { SSH_PORT } from "coder-protocol/tunnel-ports";
import type { Client } from "ssh2";
import { abortable, onAbort } from "wg-userspace/async/abort";
import { connectSsh } from "../connection/ssh-client.ts";
import { UserError } from "../errors/user-error.ts";
import type { Display } from "../ui/display.ts";
import { untilReasonKnown } from "./end-reason.ts";
import { forwardGpg } from "./gpg-forward.ts";
import type { SessionPlan } from "./plan.ts";
import { noticeSilence } from "./silence-notice.ts";
import { type SshForwardsOptions, startForwards } from "./ssh-forwards.ts";
import { runSshSession, type SessionEnd, type SshSessionOptions } from "./ssh-session.ts";
import { isRaw, type LocalTerminal } from "./terminal-input.ts";
import { X11Forward } from "./x11-forward.ts";

export interface SessionSurroundings {
  readonly stages: Display["stages"];
  readonly logger: SshForwardsOptions["logger"];
  readonly signal: AbortSignal;
}

/** What both kinds of session run on. */
export interface SessionStreams extends LocalTerminal {
  /** The text for `~#`. */
  readonly describeConnection: () => string;
  /** Called with a function that makes full-screen programs redraw. */
  readonly onRedrawable: (redraw: () => void) => void;
  readonly signal: AbortSignal;
}

/** @param resumed Runs the shell of a plan with `resume`; the shell itself does not use SSH. */
export async function runOnConnection(
  plan: SessionPlan,
  connected: ConnectedWorkspace,
  { stages, logger, signal }: SessionSurroundings,
  resumed: (streams: SessionStreams) => Promise<SessionEnd>,
): Promise<SessionEnd> {
  const terminal: LocalTerminal = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  await using ssh = needsSsh(plan) ? await openSsh(plan, connected, signal) : undefined;
  const client = ssh?.client;
  using _forwards = client && endsWith(await startForwards(client, { ...plan, stderr: process.stderr, logger }));
  if (client !== undefined && plan.forwardGpg) await forwardGpg(client, process.stderr);
  stages.clear();
  let redraw = (): void => undefined;
  using _notices =
    process.stderr.isTTY === true
      ? endsWith(
          noticeSilence({
            connection: connected.connection,
            terminal,
            raw: isRaw(terminal, plan.pty === true),
            redraw: () => redraw(),
          }),
        )
      : undefined;
  const { workspace, connection } = connected;
  const streams: SessionStreams = {
    ...terminal,
    describeConnection: () => `${workspace.ownerName}/${workspace.name}: ${connection.describePath()}`,
    onRedrawable: (how) => {
      redraw = how;
    },
    signal,
  };
  if (client === undefined || plan.resume) return await resumed(streams);
  const ending = (): Promise<void> => untilReasonKnown(connection, signal);
  if (plan.pty === undefined) return await untilClosed(client, signal, ending);
  return await runShell({ ...plan, pty: plan.pty }, client, { ...streams, untilReasonKnown: ending });
}

function needsSsh({ resume, forwardGpg: gpg, local, dynamic, remote }: SessionPlan): boolean {
  return !resume || gpg || local.length + dynamic.length + remote.length > 0;
}

async function openSsh(plan: SessionPlan, { connection }: ConnectedWorkspace, signal: AbortSignal) {
  const stream = await connection.dial(SSH_PORT, { signal });
  const stopWatching = onAbort(signal, () => stream.destroy());
  const client = await connectSsh(stream, plan.agentSocket);
  return {
    client,
    async [Symbol.asyncDispose]() {
      stopWatching();
      client.end();
      stream.destroy();
    },
  };
}

async function runShell(
  plan: SessionPlan & { readonly pty: boolean },
  client: Client,
  streams: SessionStreams & Pick<SshSessionOptions, "untilReasonKnown">,
): Promise<SessionEnd> {
  const x11 = plan.forwardX11 ? await X11Forward.open(process.env) : undefined;
  x11?.serve(client, process.stderr);
  return runSshSession({
    ...streams,
    client,
    command: plan.command,
    pty: plan.pty,
    environment: plan.environment,
    agentForward: plan.agentSocket !== undefined,
    x11: x11?.request,
  });
}

/** For `-N`: the forwards run until they are ended. */
function untilClosed(client: Client, signal: AbortSignal, ending: () => Promise<void>): Promise<never> {
  return abortable(signal, (_resolve, reject) => {
    client.once("close", () => {
      void ending().then(() =>
        reject(new UserError("Connection to the workspace was lost", { code: "ERR_CLOSED", exit: 255 })),
      );
    });
    return undefined;
  });
}

function endsWith(end: () => void): Disposable {
  return { [Symbol.dispose]: end };
}
