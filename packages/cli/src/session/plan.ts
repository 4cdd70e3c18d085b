/** What a `coder ssh` command line requests, checked before anything is connected. Pure. */
import { UsageError } from "../errors/usage-error.ts";
import { UserError } from "../errors/user-error.ts";
import {
  type DynamicForward,
  type LocalForward,
  parseDynamicForward,
  parseLocalForward,
} from "../forwarding/local-forward.ts";
import { parseRemoteForward, type RemoteForward } from "./remote-forward.ts";

export interface SessionRequest {
  /** The remote command line; undefined for a shell. */
  readonly command: string | undefined;
  /** Standard input and output are terminals. */
  readonly interactive: boolean;
  /** Request a terminal even for a command. */
  readonly tty: boolean;
  /** Request no terminal, not even for a shell. */
  readonly noTty: boolean;
  /** Forwards only. */
  readonly noCommand: boolean;
  /** A shell that outlives this command. */
  readonly resume: boolean;
  readonly forwardAgent: boolean;
  /** The SSH agent of this machine; undefined if there is none. */
  readonly agentSocket: string | undefined;
  readonly forwardGpg: boolean;
  readonly forwardX11: boolean;
  /** Each `name=value`. */
  readonly environment: readonly string[];
  readonly localForwards: readonly string[];
  readonly dynamicForwards: readonly string[];
  readonly remoteForwards: readonly string[];
}

export interface SessionPlan {
  readonly command: string | undefined;
  /** Undefined when no shell is run. */
  readonly pty: boolean | undefined;
  readonly resume: boolean;
  /** The agent to forward; undefined for none. */
  readonly agentSocket: string | undefined;
  readonly forwardGpg: boolean;
  readonly forwardX11: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly local: readonly LocalForward[];
  readonly dynamic: readonly DynamicForward[];
  readonly remote: readonly RemoteForward[];
}

/** Throws {@link UsageError} and {@link UserError}. */
export function planSession(request: SessionRequest): SessionPlan {
  const { command, resume, noCommand, noTty, tty } = request;
  if (tty && noTty) throw new UsageError("-t and -T exclude each other");
  if (noCommand && command !== undefined) throw new UsageError(`-N runs no command, but one was given: ${command}`);
  if (resume) checkResume(request);
  return {
    command,
    pty: noCommand ? undefined : noTty ? false : command === undefined ? request.interactive || tty : tty,
    resume,
    agentSocket: request.forwardAgent ? agentSocketOf(request.agentSocket) : undefined,
    forwardGpg: request.forwardGpg,
    forwardX11: request.forwardX11,
    environment: Object.fromEntries(request.environment.map(variableOf)),
    local: request.localForwards.map(parseLocalForward),
    dynamic: request.dynamicForwards.map(parseDynamicForward),
    remote: request.remoteForwards.map(parseRemoteForward),
  };
}

function checkResume({ noCommand, noTty, forwardAgent, forwardX11, interactive }: SessionRequest): void {
  if (noCommand || noTty) throw new UsageError("--resume keeps a shell on a terminal; -N and -T have none");
  if (forwardAgent)
    throw new UsageError("--resume and -A exclude each other: the shell outlives the connection that the agent needs");
  if (forwardX11)
    throw new UsageError(
      "--resume and -X exclude each other: the shell outlives the connection that the display needs",
    );
  if (interactive) return;
  throw new UserError("--resume needs a terminal", {
    why: "standard input or output is none",
    next: ["run it in a terminal window, or leave --resume out"],
    code: "ERR_NO_TERMINAL",
  });
}

function variableOf(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals <= 0) throw new UsageError(`--env "${pair}" is not name=value`);
  return [pair.slice(0, equals), pair.slice(equals + 1)];
}

function agentSocketOf(socket: string | undefined): string {
  if (socket !== undefined) return socket;
  throw new UserError("There is no SSH agent to forward", {
    why: "SSH_AUTH_SOCK is not set",
    next: ["start one: eval $(ssh-agent); ssh-add", "or name its socket: --identity-agent <socket>"],
    code: "ERR_NO_SSH_AGENT",
  });
}
