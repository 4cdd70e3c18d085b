/** Names of users, workspaces and agents, and the spellings of a workspace on a command line or as a host name. */

/** The longest name of a user, workspace or agent. */
export const MAX_NAME_LENGTH = 32;
/** A host name with prefix and suffix is never longer. */
const MAX_INPUT_LENGTH = 255;
/** Letters, digits and single hyphens between them. */
const NAME = /^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/;

export interface WorkspaceName {
  /** Undefined for the calling user. */
  readonly owner?: string | undefined;
  readonly workspace: string;
  /** Undefined for the only agent. */
  readonly agent?: string | undefined;
}

export interface NameOptions {
  /** Removed from the front of host names, such as `coder.`. */
  readonly hostPrefix?: string | undefined;
  /** Removed from the end of host names as a whole label or several, such as `coder` of `dev.coder`. */
  readonly hostnameSuffix?: string | undefined;
}

/** The typed text is not a name. The message is one sentence for the user, without final stop. */
export class NameError extends Error {
  override readonly name = "NameError";
  readonly code = "ERR_INVALID_NAME";
}

export function validateUserName(name: string): string | undefined {
  return validateName("user", name);
}
/** Whether no user can have this name: `me` means the caller in every path of the API. */
export function isReservedUserName(name: string): boolean {
  return name.toLowerCase() === "me";
}
export function validateWorkspaceName(name: string): string | undefined {
  return validateName("workspace", name);
}
/** Undefined when the name is valid, otherwise one sentence. */
export function validateAgentName(name: string): string | undefined {
  return validateName("agent", name);
}

/**
 * Reads `ws`, `owner/ws`, `ws.agent`, `owner/ws.agent` and the host names made of them. `/`, `--` and `.` separate alike, but
 * the number of parts and the dots decide:
 *
 *     1 part                  workspace
 *     2 parts with `.`        workspace.agent
 *     2 parts otherwise       owner/workspace
 *     3 parts, only dots      agent.workspace.owner
 *     3 parts otherwise       owner/workspace.agent
 *
 * Throws {@link NameError}.
 */
export function parseWorkspaceName(input: string, options: NameOptions = {}): WorkspaceName {
  if (input.length > MAX_INPUT_LENGTH)
    throw new NameError(`a workspace name has at most ${MAX_INPUT_LENGTH} characters`);
  const bare = stripHostParts(input, options);
  const [user, host] = bare.split("@");
  if (host !== undefined && host !== "")
    throw new NameError(
      `"${input}" names a user, as ssh takes it: a session is always the agent's user; write ${host}, or ${user}/${host} for a workspace of ${user}`,
    );
  const [first = "", second, third, ...more] = bare.split(/--|[/.]/);
  if (more.length > 0)
    throw new NameError(`"${input}" has too many parts: want workspace, owner/workspace or owner/workspace.agent`);
  const name = named(bare, first, second, third);
  const wrong =
    validateWorkspaceName(name.workspace) ??
    (name.owner === undefined ? undefined : validateUserName(name.owner)) ??
    (name.agent === undefined ? undefined : validateAgentName(name.agent));
  if (wrong !== undefined) throw new NameError(bare === name.workspace ? wrong : `"${input}": ${wrong}`);
  return name;
}

function named(bare: string, first: string, second: string | undefined, third: string | undefined): WorkspaceName {
  if (second === undefined) return { workspace: first };
  if (third === undefined)
    return bare.includes(".") ? { workspace: first, agent: second } : { owner: first, workspace: second };
  const onlyDots = bare === `${first}.${second}.${third}`;
  return onlyDots
    ? { owner: third, workspace: second, agent: first }
    : { owner: first, workspace: second, agent: third };
}

/**
 * Removes the prefix, or else the suffix: a host name carries one of them, in any case. Names that carry neither are
 * unchanged.
 */
function stripHostParts(input: string, options: NameOptions): string {
  const host = input.toLowerCase();
  const prefix = (options.hostPrefix ?? "").toLowerCase();
  if (prefix !== "" && host.length > prefix.length && host.startsWith(prefix)) return input.slice(prefix.length);
  const suffix = (options.hostnameSuffix ?? "").toLowerCase().replace(/^\.+/, "");
  if (suffix !== "" && host.length > suffix.length + 1 && host.endsWith(`.${suffix}`)) {
    return input.slice(0, -(suffix.length + 1));
  }
  return input;
}

function validateName(what: string, name: string): string | undefined {
  if (name === "") return `the ${what} name is empty`;
  if (name.length > MAX_NAME_LENGTH)
    return `the ${what} name "${name.slice(0, MAX_NAME_LENGTH)}…" is longer than ${MAX_NAME_LENGTH} characters`;
  if (!NAME.test(name)) {
    return `the ${what} name "${name}" is not valid: use letters, digits and single hyphens between them`;
  }
  return undefined;
}
