/** The work of `coder port-forward`. */
import { parseWorkspaceName } from "coder-protocol/names";
import { type ConnectRequest, connectWorkspace } from "../connection/connect.ts";
import { LastingConnection } from "../connection/lasting-connection.ts";
import { UsageError } from "../errors/usage-error.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { PortForwarding } from "./port-forwarding.ts";
import { type ForwardSpec, parseForwards } from "./spec.ts";

export interface PortForwardOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<
    ConnectRequest,
    "name" | "wait" | "timeoutMs" | "disableDirect" | "region" | "autostart" | "telemetry"
  >;
  readonly verbose: boolean;
  readonly forwards: readonly ForwardSpec[];
  readonly reverse: readonly ForwardSpec[];
  readonly auto: boolean;
}

/** Throws {@link UsageError}. */
export function planForwards(
  tcp: readonly string[],
  udp: readonly string[],
  reverse: readonly string[],
): Pick<PortForwardOptions, "forwards" | "reverse"> {
  const forwards = [...parseForwards("tcp", tcp, "--tcp"), ...parseForwards("udp", udp, "--udp")];
  const elsewhere = forwards.find(({ protocol, target }) => protocol === "udp" && target.host !== undefined);
  if (elsewhere !== undefined) {
    throw new UsageError(
      `--udp leads to the workspace itself, not to ${elsewhere.target.host}: UDP to other hosts is not forwarded`,
    );
  }
  return { forwards, reverse: parseForwards("tcp", reverse, "--reverse") };
}

/** Runs until the signal ends it. */
export async function runPortForward(
  { connect: request, ...options }: PortForwardOptions,
  { stages, say }: Display,
  signal: AbortSignal,
): Promise<void> {
  const deployment = openDeployment(options.deployment);
  const logger = createLogger({ verbose: options.verbose, logDir: undefined });
  const connect = (timeoutMs: number, until: AbortSignal) =>
    connectWorkspace({
      ...request,
      timeoutMs,
      deployment,
      signal: until,
      logger,
      onStage: (text) => stages.set(text),
      warn: say,
    }).finally(() => stages.clear());
  const first = await connect(request.timeoutMs, signal);
  const forwarding = new PortForwarding({
    forwards: options.forwards,
    reverse: options.reverse,
    auto: options.auto,
    workspace: first.workspace,
    configDir: options.deployment.configDir,
    deployment,
    say,
    logger,
  });
  const lasting = new LastingConnection({
    first,
    agentName: parseWorkspaceName(request.name).agent,
    deployment,
    connect: (until) => connect(0, until),
    onEvent: (event) => forwarding.linkChanged(event),
    logger,
  });
  try {
    await forwarding.run(lasting, signal);
  } catch (error) {
    if (!signal.aborted) throw error; // Ctrl-C is the ordinary end
  } finally {
    forwarding.close();
    await lasting.close();
    if (signal.aborted) say("Forwarding ended");
  }
}
