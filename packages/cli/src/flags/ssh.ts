import { VERSION } from "../base/version.ts";
import type { ConnectRequest } from "../connection/connect.ts";
import type { ReportOptions } from "../connection/network-info.ts";
import { configDirOf, type GlobalValues } from "./global.ts";
import type { FlagValues } from "./kinds.ts";
import { choice, duration, list, text, toggle } from "./kinds.ts";

/** Flags of `coder ssh`, for the ordinary command and the lean start of `ssh --stdio`. */
export const SSH_FLAGS = {
  stdio: toggle({
    env: "CODER_SSH_STDIO",
    summary: "Connect standard input and output to the workspace's SSH server: for ProxyCommand of OpenSSH",
  }),
  "ssh-host-prefix": text({
    env: "CODER_SSH_SSH_HOST_PREFIX",
    helpValue: "<prefix>",
    summary: "Strip this prefix from the host name",
  }),
  "hostname-suffix": text({
    env: "CODER_SSH_HOSTNAME_SUFFIX",
    helpValue: "<suffix>",
    summary: "Strip this suffix, without its dot, from the host name",
  }),
  "forward-agent": toggle({ char: "A", env: "CODER_SSH_FORWARD_AGENT", summary: "Forward the local SSH agent" }),
  "identity-agent": text({
    env: "CODER_SSH_IDENTITY_AGENT",
    helpValue: "<socket>",
    summary: "SSH agent to forward, instead of SSH_AUTH_SOCK",
  }),
  "forward-gpg": toggle({
    char: "G",
    env: "CODER_SSH_FORWARD_GPG",
    summary: "Forward the local GPG agent: the workspace signs with keys that stay here",
  }),
  "forward-x11": toggle({
    char: "X",
    env: "CODER_SSH_FORWARD_X11",
    summary: "Show windows of programs in the workspace on this machine's display",
  }),
  "remote-forward": list({
    char: "R",
    env: "CODER_SSH_REMOTE_FORWARD",
    helpValue: "<port:host:port>",
    summary:
      "Forward a port, or unix socket, of the workspace to this machine, 0 for any free port; may be given several times",
  }),
  "local-forward": list({
    char: "L",
    env: "CODER_SSH_LOCAL_FORWARD",
    helpValue: "<port:host:port>",
    summary:
      "Forward a port of this machine to a host, or unix socket, that the workspace reaches; may be given several times",
  }),
  "dynamic-forward": list({
    char: "D",
    env: "CODER_SSH_DYNAMIC_FORWARD",
    helpValue: "<port>",
    summary: "Serve SOCKS on a port of this machine; the workspace connects; may be given several times",
  }),
  "no-command": toggle({ char: "N", summary: "Open no shell: forwards only, until Ctrl-C" }),
  env: list({
    char: "e",
    env: "CODER_SSH_ENV",
    helpValue: "<name=value>",
    summary: "Set a variable in the workspace; may be given several times",
  }),
  tty: toggle({ char: "t", summary: "Request a terminal even for a command" }),
  "no-tty": toggle({ char: "T", summary: "Request no terminal, not even for a shell" }),
  resume: toggle({
    env: "CODER_SSH_RESUME",
    summary: "Open a shell that keeps running when the connection is lost, or return to the one that was left",
  }),
  wait: choice({
    env: "CODER_SSH_WAIT",
    options: ["yes", "no", "auto"],
    default: "auto",
    summary: "Wait for the startup scripts: yes, no, or auto (as the workspace says)",
  }),
  "no-wait": toggle({ env: "CODER_SSH_NO_WAIT", summary: "Same as --wait=no", hidden: true }),
  "disable-autostart": toggle({ env: "CODER_SSH_DISABLE_AUTOSTART", summary: "Do not start a stopped workspace" }),
  "connect-timeout": duration({
    env: "CODER_SSH_CONNECT_TIMEOUT",
    helpValue: "<duration>",
    default: 120_000,
    summary: "Give up when the workspace cannot be reached within this time; 0 means no limit",
  }),
  "log-dir": text({
    char: "l",
    env: "CODER_SSH_LOG_DIR",
    helpValue: "<folder>",
    summary: "Write a log file of this connection to this folder",
  }),
  "usage-app": text({
    env: "CODER_SSH_USAGE_APP",
    helpValue: "<name>",
    summary: "Application to which use of this connection is attributed",
    hidden: true,
  }),
  "network-info-dir": text({
    helpValue: "<folder>",
    summary: "Write connection details for editors to this folder",
    hidden: true,
  }),
  "network-info-interval": duration({
    default: 5_000,
    summary: "How often connection details are written",
    hidden: true,
  }),
  "workspace-poll-interval": duration({
    env: "CODER_WORKSPACE_POLL_INTERVAL",
    default: 60_000,
    summary: "Accepted for compatibility",
    hidden: true,
  }),
  "force-new-tunnel": toggle({ summary: "Accepted for compatibility", hidden: true }),
};

type SshValues = FlagValues<typeof SSH_FLAGS>;

export type SshConnectOptions = Pick<
  ConnectRequest,
  | "name"
  | "hostPrefix"
  | "hostnameSuffix"
  | "wait"
  | "timeoutMs"
  | "autostart"
  | "disableDirect"
  | "region"
  | "telemetry"
>;

/** Where to connect and how to wait; the same for both starts. */
export function sshConnectOptions(
  name: string,
  flags: SshValues & Pick<GlobalValues, "disable-direct-connections" | "disable-network-telemetry" | "region">,
): SshConnectOptions {
  return {
    name,
    hostPrefix: flags["ssh-host-prefix"],
    hostnameSuffix: flags["hostname-suffix"],
    wait: flags["no-wait"] ? "no" : flags.wait,
    timeoutMs: flags["connect-timeout"],
    autostart: !flags["disable-autostart"],
    disableDirect: flags["disable-direct-connections"],
    region: flags.region,
    telemetry: flags["disable-network-telemetry"] ? undefined : { application: "ssh", clientVersion: VERSION },
  };
}

/** Where the connection is reported: the status file of this machine and the file that editors request. */
export function sshReportOptions(
  flags: SshValues & Pick<GlobalValues, "global-config">,
): Pick<ReportOptions, "networkInfoDir" | "intervalMs" | "configDir"> {
  return {
    networkInfoDir: flags["network-info-dir"],
    intervalMs: flags["network-info-interval"],
    configDir: configDirOf(flags),
  };
}
