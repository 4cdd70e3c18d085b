import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectedWorkspace } from "coder-client/connection/connect";
import { SSH_PORT, TERMINAL_PORT } from "coder-protocol/tunnel-ports";
import { BaseCommand } from "../base-command.ts";
import { formatDuration } from "../diagnosis/durations.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, listFlag, stringFlag, UsageError } from "../flags/spec.ts";
import { SSH_FLAGS } from "../flags/ssh.ts";
import { parseDynamicForward, parseLocalForward } from "../forwarding/local-forward.ts";
import { connectWorkspace } from "../services/connect.ts";
import { configDirOf, openDeployment } from "../services/deployment.ts";
import { forwardGpg } from "../services/gpg-forward.ts";
import { localAgentSocket } from "../services/local-agent.ts";
import { reportConnection } from "../services/network-info.ts";
import { parseRemoteForward } from "../services/remote-forward.ts";
import { SHELL_EXIT, showShell } from "../services/resumable-shell.ts";
import { KEEP_MS, ResumeStore } from "../services/resume-store.ts";
import { noticeSilence } from "../services/silence-notice.ts";
import { connectSsh } from "../services/ssh-client.ts";
import { type SshForwardsOptions, startForwards } from "../services/ssh-forwards.ts";
import { connectOptions, reportOptions } from "../services/ssh-options.ts";
import { runSshSession, type SessionEnd } from "../services/ssh-session.ts";
import { workspaceStopped } from "../services/stop-watch.ts";
import { isRaw, type LocalTerminal } from "../services/terminal-input.ts";
import { X11Forward } from "../services/x11-forward.ts";
import { createLogger } from "../ui/logger.ts";
import { StageLine } from "../ui/stages.ts";

const WORDS = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];
/** How long the reason of a session's end is waited for. */
const REASON_WAIT_MS = 1_000;
/** How often a shell that is being looked at says so. */
const TOUCH_MS = 60_000;

/** What the line asks for, checked before anything is connected. */
interface SshPlan {
  readonly command: string | undefined;
  /** Undefined: no shell at all. */
  readonly pty: boolean | undefined;
  readonly resume: boolean;
  readonly agentSocket: string | undefined;
  readonly forwardGpg: boolean;
  readonly forwardX11: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly forwards: Pick<SshForwardsOptions, "local" | "dynamic" | "remote">;
}

export default class Ssh extends BaseCommand {
  static override summary = "Open a shell in a workspace, or run a command there";
  static override description =
    "Flags stand before or right after the workspace; everything behind it is the remote command. With --stdio it serves OpenSSH as ProxyCommand. In a shell, Enter ~ ? lists the escapes.";
  static override examples = [
    "<%= config.bin %> ssh dev",
    "<%= config.bin %> ssh dev -- make -j8 test",
    "<%= config.bin %> ssh -A alice/dev.main",
    "<%= config.bin %> ssh --resume dev",
    "<%= config.bin %> ssh -N -L 5432:db.internal:5432 -D 1080 dev",
    'ssh -o ProxyCommand="<%= config.bin %> ssh --stdio dev" dev',
  ];
  static override specs = SSH_FLAGS;
  static override words = WORDS;
  static override takesRest = true;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const plan = planOf(line);
    const stages = new StageLine();
    const logger = createLogger({
      verbose: booleanFlag(line.values, "verbose"),
      logDir: stringFlag(line.values, "log-dir"),
    });
    const deployment = openDeployment(line.values);
    const over = new AbortController();
    try {
      const connected = await connectWorkspace({
        ...connectOptions(line),
        ...(plan.resume ? {} : { firstPort: SSH_PORT }),
        deployment,
        signal,
        logger,
        onStage: (text) => stages.set(text),
        onStartupLog: (text) => {
          stages.clear();
          process.stderr.write(`${text}\n`);
        },
      });
      const { connection, workspace } = connected;
      const stopReporting = reportConnection({
        ...reportOptions(line),
        connection,
        workspace: workspace.name,
        command: "ssh",
        logger,
      });
      try {
        stages.set("Opening the session");
        const ended = AbortSignal.any([signal, over.signal]);
        const session = runPlan(plan, connected, line, { stages, logger, signal: ended });
        const stopped = workspaceStopped({ deployment, workspace, connection, signal: over.signal, logger }).then(
          async (reason) => {
            over.abort(reason);
            await session.catch(() => undefined); // it gives the terminal back; the reason is what counts
            throw reason;
          },
        );
        const { code, orderly } = await Promise.race([session, stopped]);
        // A workspace that is stopped takes its programs along: the reason may be a moment later than the end.
        if (!orderly && !signal.aborted)
          await Promise.race([stopped, sleep(REASON_WAIT_MS, undefined, { ref: false })]);
        signal.throwIfAborted();
        return code;
      } finally {
        over.abort();
        stopReporting();
        await connection.close();
      }
    } finally {
      stages.clear();
    }
  }
}

function planOf(line: ParsedLine): SshPlan {
  const { values } = line;
  const command = line.words.length > 1 ? line.words.slice(1).join(" ") : undefined;
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const [tty, noTty] = [booleanFlag(values, "tty"), booleanFlag(values, "no-tty")];
  if (tty && noTty) throw new UsageError("-t and -T exclude each other");
  const noCommand = booleanFlag(values, "no-command");
  if (noCommand && command !== undefined) throw new UsageError(`-N runs no command, and there is one: ${command}`);
  const pty = noCommand ? undefined : noTty ? false : command === undefined ? interactive || tty : tty;
  const resume = booleanFlag(values, "resume");
  const forwardAgent = booleanFlag(values, "forward-agent");
  if (resume && (noCommand || noTty)) throw new UsageError("--resume keeps a shell on a terminal; -N and -T have none");
  if (resume && forwardAgent)
    throw new UsageError("--resume and -A exclude each other: the shell outlives the connection that the agent needs");
  if (resume && booleanFlag(values, "forward-x11"))
    throw new UsageError(
      "--resume and -X exclude each other: the shell outlives the connection that the display needs",
    );
  if (resume && !interactive) {
    throw new UserError("--resume needs a terminal", {
      why: "standard input or output is none",
      next: ["run it in a terminal window, or leave --resume out"],
      code: "ERR_NO_TERMINAL",
    });
  }
  return {
    command,
    pty,
    resume,
    agentSocket: forwardAgent ? agentSocketOf(line) : undefined,
    forwardGpg: booleanFlag(values, "forward-gpg"),
    forwardX11: booleanFlag(values, "forward-x11"),
    environment: Object.fromEntries(listFlag(values, "env").map(variableOf)),
    forwards: {
      local: listFlag(values, "local-forward").map(parseLocalForward),
      dynamic: listFlag(values, "dynamic-forward").map(parseDynamicForward),
      remote: listFlag(values, "remote-forward").map(parseRemoteForward),
    },
  };
}

interface Surroundings {
  readonly stages: StageLine;
  readonly logger: SshForwardsOptions["logger"];
  readonly signal: AbortSignal;
}

async function runPlan(
  plan: SshPlan,
  connected: ConnectedWorkspace,
  line: ParsedLine,
  { stages, logger, signal }: Surroundings,
): Promise<SessionEnd> {
  const { connection, workspace } = connected;
  const terminal: LocalTerminal = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  const describeConnection = (): string => `${workspace.ownerName}/${workspace.name}: ${connection.describePath()}`;
  const { local, dynamic, remote } = plan.forwards;
  const wantsSsh = !plan.resume || plan.forwardGpg || local.length + dynamic.length + remote.length > 0;
  const stream = wantsSsh ? await connection.dial(SSH_PORT, { signal }) : undefined;
  signal.addEventListener("abort", () => stream?.destroy(), { once: true });
  const client = stream === undefined ? undefined : await connectSsh(stream, plan.agentSocket);
  let endForwards = (): void => undefined;
  let redraw = (): void => undefined;
  let stopNoticing = (): void => undefined;
  try {
    if (client !== undefined)
      endForwards = await startForwards(client, { ...plan.forwards, stderr: process.stderr, logger });
    if (client !== undefined && plan.forwardGpg) await forwardGpg(client, process.stderr);
    stages.clear();
    const onRedrawable = (how: () => void): void => {
      redraw = how;
    };
    if (process.stderr.isTTY === true) {
      stopNoticing = noticeSilence({
        connection,
        terminal,
        raw: isRaw(terminal, plan.pty === true),
        redraw: () => redraw(),
      });
    }
    if (plan.resume)
      return await resumeShell(plan, connected, line, { ...terminal, describeConnection, onRedrawable, signal });
    if (plan.pty === undefined) return await untilClosed(client!, signal);
    const x11 = plan.forwardX11 ? await X11Forward.open(process.env) : undefined;
    x11?.serve(client!, process.stderr);
    return await runSshSession({
      ...terminal,
      client: client!,
      ...(plan.command === undefined ? {} : { command: plan.command }),
      pty: plan.pty,
      environment: plan.environment,
      agentForward: plan.agentSocket !== undefined,
      ...(x11 === undefined ? {} : { x11: x11.request }),
      describeConnection,
      onRedrawable,
      signal,
    });
  } finally {
    stopNoticing();
    endForwards();
    client?.end();
    stream?.destroy();
  }
}

/** `-N`: the forwards run until somebody ends them. */
function untilClosed(client: Awaited<ReturnType<typeof connectSsh>>, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    client.once("close", () => {
      if (!signal.aborted)
        reject(new UserError("Connection to the workspace was lost", { code: "ERR_CLOSED", exit: 255 }));
    });
  });
}

async function resumeShell(
  plan: SshPlan,
  { connection, workspace, agent }: ConnectedWorkspace,
  line: ParsedLine,
  around: LocalTerminal & {
    readonly describeConnection: () => string;
    readonly onRedrawable: (redraw: () => void) => void;
    readonly signal: AbortSignal;
  },
): Promise<SessionEnd> {
  const store = new ResumeStore(configDirOf(line.values), agent.id);
  const kept = plan.command === undefined ? store.claim() : undefined;
  const id = kept?.id ?? randomUUID();
  if (kept === undefined) store.add(id);
  else {
    const others = kept.more === 0 ? "" : `; ${kept.more} more to resume, each in a terminal of its own`;
    const ago = formatDuration(Math.max(0, Math.round((Date.now() - kept.seenAt) / 1000) * 1000));
    around.stderr.write(`Back in the shell that was left ${ago} ago${others}\n`);
  }
  const touching = setInterval(() => store.touch(id), TOUCH_MS);
  touching.unref();
  try {
    store.touch(id);
    const stream = await connection.dial(TERMINAL_PORT, { signal: around.signal });
    around.signal.addEventListener("abort", () => stream.destroy(), { once: true });
    const outcome = await showShell({
      ...around,
      stream,
      id,
      keepMs: KEEP_MS,
      command: plan.command ?? "",
    });
    if (outcome === "ended") store.remove(id);
    else store.touch(id);
    if (outcome !== "ended" && !around.signal.aborted) {
      const how = outcome === "left" ? "You left the shell" : "Connection to the workspace was lost";
      around.stderr.write(
        `\r\n${how}; it goes on for ${KEEP_MS / 3_600_000} h: coder ssh --resume ${workspace.name}\r\n`,
      );
    }
    return { code: SHELL_EXIT[outcome], orderly: outcome !== "lost" };
  } finally {
    clearInterval(touching);
  }
}

function variableOf(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals <= 0) throw new UsageError(`--env "${pair}" is not name=value`);
  return [pair.slice(0, equals), pair.slice(equals + 1)];
}

function agentSocketOf(line: ParsedLine): string {
  const socket = stringFlag(line.values, "identity-agent") ?? localAgentSocket(process.env, process.platform);
  if (socket !== undefined) return socket;
  throw new UserError("There is no SSH agent to forward", {
    why: "SSH_AUTH_SOCK is not set",
    next: ["start one: eval $(ssh-agent); ssh-add", "or name its socket: --identity-agent <socket>"],
    code: "ERR_NO_SSH_AGENT",
  });
}
