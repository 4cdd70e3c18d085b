/** The work of commands that need the engine, in a bundle of its own so that other commands start without it. */

export { runCopy } from "../copy/run-copy.ts";
export { planForwards, runPortForward } from "../forwarding/run-port-forward.ts";
export { runDoctor } from "../measure/run-doctor.ts";
export { runNetcheck } from "../measure/run-netcheck.ts";
export { runPing } from "../measure/run-ping.ts";
export { runSpeedtest } from "../measure/run-speedtest.ts";
export { showConnections, showPaths } from "../measure/run-status.ts";
export { runSupportBundle } from "../measure/run-support-bundle.ts";
export { runSsh } from "../session/run.ts";
