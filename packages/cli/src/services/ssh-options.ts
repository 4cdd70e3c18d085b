import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, numberFlag, stringFlag, UsageError } from "../flags/spec.ts";
import { VERSION } from "../version.ts";
import type { ConnectRequest } from "./connect.ts";
import { configDirOf } from "./deployment.ts";
import type { ReportOptions } from "./network-info.ts";

/** The part of a `coder ssh` line that says where to and how to wait: the same for both starts. */
export function connectOptions(
  line: ParsedLine,
): Pick<
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
> {
  const name = line.words[0];
  if (name === undefined) throw new UsageError("which workspace? usage: coder ssh <workspace> [command …]");
  return {
    name,
    hostPrefix: stringFlag(line.values, "ssh-host-prefix"),
    hostnameSuffix: stringFlag(line.values, "hostname-suffix"),
    wait: booleanFlag(line.values, "no-wait") ? "no" : (stringFlag(line.values, "wait") as "yes" | "no" | "auto"),
    timeoutMs: numberFlag(line.values, "connect-timeout") ?? 0,
    autostart: !booleanFlag(line.values, "disable-autostart"),
    disableDirect: booleanFlag(line.values, "disable-direct-connections"),
    region: stringFlag(line.values, "region"),
    telemetry: booleanFlag(line.values, "disable-network-telemetry")
      ? undefined
      : { application: "ssh", clientVersion: VERSION },
  };
}

/** Where the connection is told about: the status file of this machine, and the file that editors ask for. */
export function reportOptions(line: ParsedLine): Pick<ReportOptions, "networkInfoDir" | "intervalMs" | "configDir"> {
  return {
    networkInfoDir: stringFlag(line.values, "network-info-dir"),
    intervalMs: numberFlag(line.values, "network-info-interval") ?? 5_000,
    configDir: configDirOf(line.values),
  };
}
