import { choice, duration, integer, list, text, toggle } from "./kinds.ts";

/** Flags of `coder agent` that `coder agent install` keeps for the service. */
export const AGENT_FLAGS = {
  auth: choice({
    env: "CODER_AGENT_AUTH",
    options: ["token"],
    default: "token",
    summary: "How the agent identifies itself",
  }),
  "agent-url": text({ env: "CODER_AGENT_URL", helpValue: "<url>", summary: "Deployment the agent connects to" }),
  "agent-token": text({
    env: "CODER_AGENT_TOKEN",
    helpValue: "<token>",
    summary: "The agent's token; prefer the variable",
  }),
  "agent-token-file": text({
    env: "CODER_AGENT_TOKEN_FILE",
    helpValue: "<file>",
    summary: "File that holds the agent's token",
  }),
  "agent-header": list({
    env: "CODER_AGENT_HEADER",
    helpValue: "<key=value>",
    summary: "Extra header for every request, WebSocket and relay connection",
  }),
  "agent-header-command": text({
    env: "CODER_AGENT_HEADER_COMMAND",
    helpValue: "<command>",
    summary: "Program that prints extra headers",
  }),
  "tailnet-listen-port": integer({
    env: "CODER_AGENT_TAILNET_LISTEN_PORT",
    helpValue: "<port>",
    default: 0,
    summary: "UDP port for direct connections; 0 for any",
  }),
  "ssh-max-timeout": duration({
    helpValue: "<duration>",
    env: "CODER_AGENT_SSH_MAX_TIMEOUT",
    default: 259_200_000,
    summary: "How long a session outlives a client that does not answer",
  }),
  "block-file-transfer": toggle({ env: "CODER_AGENT_BLOCK_FILE_TRANSFER", summary: "Refuse nc, rsync, scp and sftp" }),
  "log-dir": text({
    env: "CODER_AGENT_LOG_DIR",
    helpValue: "<folder>",
    summary: "Folder for the log files of the agent and of scripts; without it, the agent's log goes to stderr",
  }),
  "debug-address": text({
    env: "CODER_AGENT_DEBUG_ADDRESS",
    helpValue: "<host:port>",
    summary: "Serve the debug pages on this address as well, such as 127.0.0.1:2113",
  }),
  "prometheus-address": text({
    env: "CODER_AGENT_PROMETHEUS_ADDRESS",
    helpValue: "<host:port>",
    summary: "Serve metrics on this address, such as 127.0.0.1:2112",
  }),
  "pprof-address": text({
    env: "CODER_AGENT_PPROF_ADDRESS",
    helpValue: "<host:port>",
    summary: "Accepted for compatibility: this agent has no pprof profiles",
  }),
  app: list({
    helpValue: "<slug=…,url=…>",
    summary:
      "An app that this machine declares, such as slug=web,url=http://127.0.0.1:8080; may be given several times",
  }),
  "apps-file": text({
    env: "CODER_AGENT_APPS_FILE",
    helpValue: "<file>",
    summary:
      "JSON list of apps that this machine declares, read again when it changes; default: ~/.config/coder/apps.json",
  }),
  "identity-file": text({
    env: "CODER_AGENT_IDENTITY_FILE",
    helpValue: "<file>",
    summary:
      "Key by which browsers recognise this machine, made at the first start; default: ~/.config/coder/agent-identity",
  }),
  "no-reap": toggle({ summary: "As process 1 of a container, do not reap processes that lost their parent" }),
};
