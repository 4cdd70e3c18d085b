/**
 * An init for containers whose first process is the agent. The kernel gives every orphan to process 1, which must wait for it.
 * Node waits only for its own children, so orphans would remain as zombies until no process can be created. A shell's `wait`
 * reaps any child, so process 1 becomes a shell with the agent as its child.
 */
import { existsSync } from "node:fs";
import { ownArguments, selfCommand } from "coder-client/base/self-command";

const SHELL = "/bin/sh";

/**
 * POSIX sh as process 1: starts "$@", passes signals on, reaps every child, and exits as the program does (128 + n when signal n
 * ended it). A trap interrupts `wait`, hence the loop; 127 means that the shell has already reported the status. At most one
 * signal can arrive before the program exists, and it is kept.
 */
const INIT_SCRIPT = `
pending= child=
for signal in HUP INT QUIT TERM USR1 USR2; do
  trap "pending=$signal; [ -z \\"\\$child\\" ] || kill -$signal \\"\\$child\\" 2>/dev/null" "$signal"
done
exec 3<&0
"$@" <&3 3<&- &
child=$!
exec 3<&-
[ -z "$pending" ] || kill -"$pending" "$child" 2>/dev/null
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
wait "$child" 2>/dev/null
last=$?
[ "$last" -eq 127 ] || code=$last
exit "$code"
`;

/** The command line that runs the program in `argv` as the child of an init. */
export function initCommand(argv: readonly string[]): { readonly file: string; readonly args: readonly string[] } {
  return { file: SHELL, args: ["sh", "-c", INIT_SCRIPT, "coder-init", ...argv] };
}

/**
 * As process 1, replaces this process with an init that starts the same program again, and does not return. Otherwise, or when
 * that is impossible, returns; with a reason if zombies will remain.
 */
export function becomeReaper(): string | undefined {
  if (process.pid !== 1) return undefined;
  if (process.execve === undefined) return "this release of Node cannot replace its process";
  if (!existsSync(SHELL)) return `there is no ${SHELL}`;
  const { file, args } = initCommand([...selfCommand(), ...ownArguments()]);
  try {
    return process.execve(file, args, process.env);
  } catch (error) {
    return `${SHELL} cannot be executed: ${String(error)}`;
  }
}
