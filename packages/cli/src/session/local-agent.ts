/** The pipe of the agent that comes with Windows. */
const WINDOWS_PIPE = "\\\\.\\pipe\\openssh-ssh-agent";

/** Where this machine's SSH agent listens: a socket, or on Windows a named pipe. Undefined if not configured. */
export function localAgentSocket(environment: NodeJS.ProcessEnv, platform: NodeJS.Platform): string | undefined {
  const named = environment["SSH_AUTH_SOCK"];
  if (named !== undefined && named !== "") return named;
  return platform === "win32" ? WINDOWS_PIPE : undefined;
}
