import { type Argument, byteLength, hasNul } from "../os/spawn.ts";
import type { SessionUser } from "./user.ts";

/** Bounds on what one session may set; exceeding them fails the single request. */
const MAX_NAME_BYTES = 256;
const MAX_VARIABLES = 512;

/**
 * Names that are neither inherited from the agent's own environment nor accepted from a client: they make the next program load
 * code, or only the agent may set them. This is no defence against the client, which runs commands anyway, but against accidents
 * such as a laptop's NODE_OPTIONS or the agent's token in every shell.
 */
const DENIED =
  /^(?:LD_PRELOAD|LD_AUDIT|DYLD_INSERT_LIBRARIES|NODE_(?:OPTIONS|PATH|UNIQUE_ID|V8_COVERAGE|COMPILE_CACHE|CHANNEL_.*|PENDING_.*|REPL_.*)|ELECTRON_RUN_AS_NODE|BASH_ENV|BASH_FUNC_.*|BASHOPTS|SHELLOPTS|ENV|SSH_.*|CODER|CODER_.*|CS_.*)$/;
/** Image authors may have set these for good reasons, so they are inherited; from a client they are accidents too. */
const DENIED_FROM_CLIENT =
  /^(?:LD_.*|DYLD_.*|GCONV_PATH|GLIBC_TUNABLES|IFS|PS4|PROMPT_COMMAND|ZDOTDIR|PYTHON(?:STARTUP|HOME|PATH)|PERL5?(?:LIB|OPT|DB)|RUBY(?:LIB|OPT)|_?JAVA(?:_TOOL)?_OPTIONS|GIT_(?:SSH|SSH_COMMAND|PROXY_COMMAND|EXTERNAL_DIFF|EXEC_PATH|CONFIG(?:_.*)?)|LESS(?:OPEN|CLOSE)|HOME|USER|LOGNAME|SHELL|PATH|MAIL|PWD|OLDPWD|SHLVL|_)$/;
/** Variables that describe the agent's own surroundings: its terminal, service manager, package manager and secrets. */
const NOT_INHERITED =
  /^(?:TERM|TERMCAP|COLUMNS|LINES|TMUX|TMUX_PANE|STY|WINDOW|WINDOWID|DISPLAY|XAUTHORITY|PWD|OLDPWD|SHLVL|_|INVOCATION_ID|JOURNAL_STREAM|NOTIFY_SOCKET|LISTEN_(?:FDS|PID|FDNAMES)|WATCHDOG_(?:PID|USEC)|MAINPID|INIT_CWD|npm_.*|NPM_.*|PNPM_.*|COREPACK_.*|.*_TOKEN|.*_TOKEN_FILE)$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Consumed by the agent, never passed on. */
export const SESSION_TYPE_VARIABLE = "CODER_SSH_SESSION_TYPE";
export const CONTAINER_VARIABLE = "CODER_CONTAINER";
export const CONTAINER_USER_VARIABLE = "CODER_CONTAINER_USER";

/** The variables that a client set with `env` requests. */
export class ClientEnvironment {
  readonly #maxBytes: number;
  readonly #variables = new Map<string, Argument>();
  #bytes = 0;
  sessionType: "ssh" | "vscode" | "jetbrains" = "ssh";
  container = "";

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get variables(): Readonly<Record<string, Argument>> {
    return Object.fromEntries(this.#variables);
  }

  /** @returns whether the variable was accepted. */
  set(name: string, value: Argument): boolean {
    if (name.length > MAX_NAME_BYTES || !NAME.test(name) || hasNul(value)) return false;
    if (name === SESSION_TYPE_VARIABLE) return typeof value === "string" && this.#setSessionType(value);
    if (name === CONTAINER_USER_VARIABLE) return true;
    if (name === CONTAINER_VARIABLE) {
      if (typeof value !== "string") return false;
      this.container = value.slice(0, MAX_NAME_BYTES);
      return true;
    }
    if (DENIED.test(name) || DENIED_FROM_CLIENT.test(name)) return false;
    const previous = this.#variables.get(name);
    const bytes = this.#bytes - (previous === undefined ? 0 : cost(name, previous)) + cost(name, value);
    if (bytes > this.#maxBytes || (previous === undefined && this.#variables.size >= MAX_VARIABLES)) return false;
    this.#bytes = bytes;
    this.#variables.set(name, value);
    return true;
  }

  #setSessionType(value: string): boolean {
    const type = value.toLowerCase();
    if (type !== "vscode" && type !== "jetbrains" && type !== "ssh") return false;
    this.sessionType = type;
    return true;
  }
}

export interface SessionEndpoints {
  readonly remote: { readonly address: string; readonly port: number };
  readonly local: { readonly address: string; readonly port: number };
}

/**
 * The environment of a session. Later entries win: what the agent inherited (without its own and dangerous variables), the
 * account, the client's variables, the workspace's, and finally what describes the connection.
 */
export function buildEnvironment<Value extends Argument = string>(parts: {
  readonly inherited: NodeJS.ProcessEnv;
  readonly user: SessionUser;
  readonly client: Readonly<Record<string, Value>>;
  readonly workspace: Readonly<Record<string, string>>;
  readonly endpoints: SessionEndpoints;
  readonly terminal?: { readonly type: Value | string } | undefined;
  readonly agentSocket?: string | undefined;
}): Record<string, Value | string> {
  const { user, endpoints } = parts;
  const { remote, local } = endpoints;
  const variables: Record<string, Value | string> = {
    ...inheritable(parts.inherited),
    PATH: parts.inherited["PATH"] || DEFAULT_PATH,
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
    SHELL: user.shell,
    ...parts.client,
    ...parts.workspace,
    SSH_CLIENT: `${remote.address} ${remote.port} ${local.port}`,
    SSH_CONNECTION: `${remote.address} ${remote.port} ${local.address} ${local.port}`,
  };
  // As with sshd, a client without a name for its terminal sets none, and shells have one for that.
  if (parts.terminal !== undefined && parts.terminal.type.length > 0) variables["TERM"] = parts.terminal.type;
  if (parts.agentSocket !== undefined) variables["SSH_AUTH_SOCK"] = parts.agentSocket;
  return variables;
}

function inheritable(inherited: NodeJS.ProcessEnv): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(inherited)) {
    if (value === undefined || DENIED.test(name) || NOT_INHERITED.test(name)) continue;
    result[name] = value;
  }
  return result;
}

function cost(name: string, value: Argument): number {
  return byteLength(name) + byteLength(value) + 2;
}
