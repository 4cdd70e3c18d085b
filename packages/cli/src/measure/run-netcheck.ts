/** The work of `coder netcheck`. */
import { probeNetwork } from "coder-client/connection/network-probe";
import { describeUdpCarrier } from "wg-userspace/io/udp/udp-batch";
import { printable } from "../base/text.ts";
import { answeredByLines } from "../diagnosis/answered-by.ts";
import { netcheckJson, netcheckLines } from "../diagnosis/netcheck-text.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { jsonText } from "../ui/output.ts";
import { localInterfaces } from "./interfaces.ts";

const LIMIT_MS = 30_000;

export interface NetcheckOptions {
  readonly deployment: DeploymentOptions;
  readonly disableDirect: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

export async function runNetcheck(
  { deployment, disableDirect, verbose, json }: NetcheckOptions,
  { stages, print }: Display,
  signal: AbortSignal,
): Promise<number> {
  stages.set("Checking the network");
  const limit = AbortSignal.timeout(LIMIT_MS);
  try {
    const opened = openDeployment(deployment);
    const probe = await probeNetwork({
      deployment: opened,
      disableDirect,
      signal: AbortSignal.any([signal, limit]),
      logger: createLogger({ verbose, logDir: undefined }),
    });
    stages.clear();
    const interfaces = localInterfaces();
    const carrier = describeUdpCarrier();
    const replica = opened.answeredBy;
    if (json) print(jsonText({ ...netcheckJson(probe, interfaces), udp_carrier: carrier, replica }));
    else {
      const lines = [...netcheckLines(probe, interfaces), `UDP is carried by ${carrier}`];
      for (const text of [...lines, ...answeredByLines(replica, probe.map)]) print(`${printable(text)}\n`);
    }
    return probe.relays.some(({ roundTripMs }) => roundTripMs !== undefined) ? EXIT.ok : EXIT.failure;
  } catch (error) {
    if (!limit.aborted || signal.aborted) throw error;
    throw new UserError(`The check did not end within ${LIMIT_MS / 1000} s`, {
      why: "the deployment answers too slowly, or not at all",
      next: ["try again", 'look at the details: add "-v"'],
      code: "ERR_TIMEOUT",
    });
  } finally {
    stages.clear();
  }
}
