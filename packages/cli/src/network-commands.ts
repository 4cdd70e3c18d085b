/** Commands that need the engine: a bundle of their own, so that the others start without it. */

export { default as Copy } from "./commands/cp.ts";
export { default as Doctor } from "./commands/doctor.ts";
export { default as Netcheck } from "./commands/netcheck.ts";
export { default as Ping } from "./commands/ping.ts";
export { default as PortForward } from "./commands/port-forward.ts";
export { default as Speedtest } from "./commands/speedtest.ts";
export { default as Ssh } from "./commands/ssh.ts";
export { default as Status } from "./commands/status.ts";
export { default as SupportBundle } from "./commands/support/bundle.ts";
