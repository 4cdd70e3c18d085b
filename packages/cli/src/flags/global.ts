import { defaultConfigDir } from "../base/config-dir.ts";
import { say } from "../base/say.ts";
import type { DeploymentOptions } from "../rest/deployment.ts";
import type { FlagValues } from "./kinds.ts";
import { list, text, toggle } from "./kinds.ts";

/** Flags that every command takes, before or after its name. */
export const GLOBAL_FLAGS = {
  url: text({ env: "CODER_URL", helpValue: "<url>", summary: "URL of the deployment" }),
  token: text({
    env: "CODER_SESSION_TOKEN",
    helpValue: "<token>",
    summary: "Session token, instead of the stored one",
  }),
  "global-config": text({
    env: "CODER_CONFIG_DIR",
    helpValue: "<folder>",
    summary: "Folder where the login is stored",
  }),
  header: list({
    env: "CODER_HEADER",
    helpValue: "<key=value>",
    summary: "Extra header for every request, WebSocket and relay connection; may be given several times",
  }),
  "header-command": text({
    env: "CODER_HEADER_COMMAND",
    helpValue: "<command>",
    summary: "Program that prints extra headers, one key=value per line",
  }),
  "ca-file": text({
    env: "CODER_CA_FILE",
    helpValue: "<file>",
    summary: "PEM file of certificate authorities to trust besides the system's",
  }),
  "client-cert": text({
    env: "CODER_CLIENT_CERT",
    helpValue: "<file>",
    summary: "PEM client certificate for mutual TLS",
  }),
  "client-key": text({ env: "CODER_CLIENT_KEY", helpValue: "<file>", summary: "PEM key of the client certificate" }),
  "disable-direct-connections": toggle({
    env: "CODER_DISABLE_DIRECT_CONNECTIONS",
    summary: "Use relays only, never a direct path",
  }),
  region: text({
    env: "CODER_REGION",
    helpValue: "<name|auto>",
    summary:
      "Relay region to use while it answers, by id, code or name, or by the name of a workspace proxy; auto takes the one with the shortest route",
  }),
  "disable-network-telemetry": toggle({
    env: "CODER_DISABLE_NETWORK_TELEMETRY",
    summary: "Do not report connection quality to the deployment",
  }),
  verbose: toggle({ char: "v", env: "CODER_VERBOSE", summary: "Log network activity to stderr" }),
  "no-version-warning": toggle({
    env: "CODER_NO_VERSION_WARNING",
    summary: "Do not warn when client and server versions differ",
  }),
  "no-feature-warning": toggle({
    env: "CODER_NO_FEATURE_WARNING",
    summary: "Accepted for compatibility",
    hidden: true,
  }),
  "use-keyring": toggle({
    env: "CODER_USE_KEYRING",
    summary: "Accepted for compatibility: the login is kept in files of its owner",
    hidden: true,
  }),
  "no-open": toggle({
    env: "CODER_NO_OPEN",
    summary: "Accepted for compatibility: no browser is opened",
    hidden: true,
  }),
  "debug-http": toggle({ summary: "Accepted for compatibility: see --verbose", hidden: true }),
  "force-tty": toggle({
    env: "CODER_FORCE_TTY",
    summary: "Ask, and show colours and progress, even if the standard streams are not terminals",
  }),
  "no-color": toggle({ summary: "Show no colours, as with NO_COLOR=1" }),
  "debug-options": toggle({ summary: "Print every option, its value and where it came from, then exit" }),
};

export const HELP_FLAG = { help: toggle({ char: "h", summary: "Show this help" }) };

export type GlobalValues = FlagValues<typeof GLOBAL_FLAGS>;

/** Names the deployment, the login to use and how to dial. */
export function deploymentOptions(flags: GlobalValues): DeploymentOptions {
  return {
    url: flags.url,
    token: flags.token,
    configDir: configDirOf(flags),
    headers: flags.header ?? [],
    headerCommand: flags["header-command"],
    tls: { "ca-file": flags["ca-file"], "client-cert": flags["client-cert"], "client-key": flags["client-key"] },
    versionWarning: !flags["no-version-warning"],
    say,
  };
}

export function configDirOf(flags: Pick<GlobalValues, "global-config">): string {
  return flags["global-config"] ?? defaultConfigDir(process.env);
}
