import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, listFlag, UsageError } from "../flags/spec.ts";
import { parseForwards } from "../forwarding/spec.ts";
import { connectWorkspace } from "../services/connect.ts";
import { configDirOf, openDeployment } from "../services/deployment.ts";
import { LastingConnection } from "../services/lasting-connection.ts";
import { PATH_FLAGS, pathConnectOptions } from "../services/path-options.ts";
import { PortForwarding } from "../services/port-forwarding.ts";
import { createLogger } from "../ui/logger.ts";
import { say } from "../ui/say.ts";
import { StageLine } from "../ui/stages.ts";
import { VERSION } from "../version.ts";

export const PORT_FORWARD_FLAGS: readonly FlagSpec[] = [
  {
    name: "tcp",
    char: "p",
    env: "CODER_PORT_FORWARD_TCP",
    kind: "list",
    value: "[address:]port[:[host:]port]",
    summary:
      "TCP ports of this machine that lead to the workspace, or to a host it reaches; lists and ranges are allowed",
  },
  {
    name: "udp",
    env: "CODER_PORT_FORWARD_UDP",
    kind: "list",
    value: "[address:]port[:port]",
    summary: "UDP ports of this machine that lead to the workspace",
  },
  {
    name: "reverse",
    env: "CODER_PORT_FORWARD_REVERSE",
    kind: "list",
    value: "port[:[host:]port]",
    summary: "TCP ports of the workspace that lead to this machine, or to a host it reaches",
  },
  {
    name: "auto",
    env: "CODER_PORT_FORWARD_AUTO",
    kind: "boolean",
    summary: "Forward every port that a program of the workspace listens on, as they come and go",
  },
  {
    name: "disable-autostart",
    env: "CODER_SSH_DISABLE_AUTOSTART",
    kind: "boolean",
    summary: "Do not start a stopped workspace",
  },
  ...PATH_FLAGS,
];

export default class PortForward extends BaseCommand {
  static override summary = "Reach ports of a workspace from this machine, and the other way round";
  static override description =
    "Runs until Ctrl-C. Without an address it listens on loopback only. The forwards outlive network changes, sleep and restarts of the workspace; what happens is said on stderr.";
  static override examples = [
    "<%= config.bin %> port-forward dev --tcp 8080",
    "<%= config.bin %> port-forward dev --tcp 8080:3000 --tcp 9000-9010,0.0.0.0:5000",
    "<%= config.bin %> port-forward dev --udp 5353:53",
    "<%= config.bin %> port-forward dev --tcp 5432:db.internal:5432",
    "<%= config.bin %> port-forward dev --reverse 8080:3000",
    "<%= config.bin %> port-forward dev --auto",
  ];
  static override specs = PORT_FORWARD_FLAGS;
  static override isService = true;
  static override words = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const forwards = [
      ...parseForwards("tcp", listFlag(line.values, "tcp"), "--tcp"),
      ...parseForwards("udp", listFlag(line.values, "udp"), "--udp"),
    ];
    const elsewhere = forwards.find(({ protocol, target }) => protocol === "udp" && target.host !== undefined);
    if (elsewhere !== undefined) {
      throw new UsageError(
        `--udp leads to the workspace itself, not to ${elsewhere.target.host}: UDP to other hosts is not forwarded`,
      );
    }
    const reverse = parseForwards("tcp", listFlag(line.values, "reverse"), "--reverse");
    const auto = booleanFlag(line.values, "auto");
    if (forwards.length + reverse.length === 0 && !auto) {
      throw new UsageError("nothing to forward: name ports with --tcp, --udp or --reverse, or let --auto find them");
    }
    const deployment = openDeployment(line.values);
    const logger = createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined });
    const stages = new StageLine();
    const connect = (timeoutMs: number, until: AbortSignal) =>
      connectWorkspace({
        ...pathConnectOptions(line),
        timeoutMs,
        autostart: !booleanFlag(line.values, "disable-autostart"),
        telemetry: booleanFlag(line.values, "disable-network-telemetry")
          ? undefined
          : { application: "port-forward", clientVersion: VERSION },
        deployment,
        signal: until,
        logger,
        onStage: (text) => stages.set(text),
      }).finally(() => stages.clear());
    const first = await connect(pathConnectOptions(line).timeoutMs, signal);
    const forwarding = new PortForwarding({
      forwards,
      reverse,
      auto,
      workspace: first.workspace,
      configDir: configDirOf(line.values),
      deployment,
      say,
      logger,
    });
    const lasting = new LastingConnection({
      first,
      agentName: parseWorkspaceName(line.words[0]!).agent,
      deployment,
      connect: (until) => connect(0, until),
      onEvent: (event) => forwarding.linkChanged(event),
      logger,
    });
    try {
      await forwarding.run(lasting, signal);
    } catch (error) {
      if (!signal.aborted) throw error; // Ctrl-C is how it is meant to end
    } finally {
      forwarding.close();
      await lasting.close();
      if (signal.aborted) say("Forwarding ended");
    }
    return undefined;
  }
}
