/** The work of commands that need the engine: a bundle of its own, so that the others start without it. */

export { runCopy } from "../services/run-copy.ts";
export { runDoctor } from "../services/run-doctor.ts";
export { runNetcheck } from "../services/run-netcheck.ts";
export { runPing } from "../services/run-ping.ts";
export { planForwards, runPortForward } from "../services/run-port-forward.ts";
export { runSpeedtest } from "../services/run-speedtest.ts";
export { showConnections, showPaths } from "../services/run-status.ts";
export { runSupportBundle } from "../services/run-support-bundle.ts";
export { runSsh } from "../session/run.ts";
