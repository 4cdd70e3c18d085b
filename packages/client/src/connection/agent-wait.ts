/** Waits until an agent is connected and, on request, its startup scripts are done. */
import { sleep } from "wg-userspace/async/abort";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "../rest/api.ts";
import { StartupLog } from "../rest/startup-log.ts";
import { steadily } from "../rest/steady.ts";
import { type AgentRef, findAgent } from "../rest/workspaces.ts";
import type { Attempt } from "./attempt.ts";

const POLL_MS = 500;
/**
 * A connected agent counts as shutting down once it was found so this often: one that has just reconnected corrects itself a
 * moment later.
 */
const MAX_LOOKS_WHILE_OFF = 6;

/** `auto` waits only for scripts that are marked to block logins. */
export type ScriptWait = "yes" | "no" | "auto";

export interface AgentWaitOptions {
  readonly deployment: RestApi;
  readonly wait: ScriptWait;
  /** Called with each line that startup scripts print during the wait. */
  readonly onStartupLog?: ((line: string) => void) | undefined;
}

/** Resolves with the agent's state at that time. Rejects with ERR_AGENT_OFF, the error of a request, or the signal's reason. */
export async function waitForAgent(first: AgentRef, options: AgentWaitOptions, attempt: Attempt): Promise<AgentRef> {
  const { deployment, wait, onStartupLog } = options;
  const { signal } = attempt;
  const wantsScripts = wait === "yes" || (wait === "auto" && first.scripts.some((script) => script.startBlocksLogin));
  const log = onStartupLog === undefined ? undefined : new StartupLog(deployment, first.id);
  const showLog = async (): Promise<void> => {
    if (log === undefined) return;
    for (const text of await steadily(() => log.next(signal), signal)) onStartupLog?.(text);
  };
  let waited = false;
  let looksWhileOff = 0;
  const lookAgain = (): Promise<AgentRef> => steadily(() => findAgent(deployment, first.id, { signal }), signal);
  for (let agent = first; ; agent = await lookAgain()) {
    if (agent.status === "connecting" || agent.status === "timeout") {
      attempt.enter({ kind: "agent", agent, waitingFor: "first-connection" });
    } else if (agent.status !== "connected") {
      attempt.enter({ kind: "agent", agent, waitingFor: "reconnection" });
    } else if (isOff(agent)) {
      if (++looksWhileOff > MAX_LOOKS_WHILE_OFF) {
        throw new ClientError("ERR_AGENT_OFF", `The agent "${agent.name}" is shutting down`, {
          detail: `its state is "${agent.lifecycleState}"`,
        });
      }
      attempt.enter({ kind: "agent", agent, waitingFor: "restart" });
    } else {
      if (!wantsScripts || !/^(created|starting)$/.test(agent.lifecycleState)) {
        if (waited) await showLog();
        attempt.enter({ kind: "agent-ready", agent });
        return agent;
      }
      attempt.enter({ kind: "agent", agent, waitingFor: "startup-scripts" });
      waited = true;
      await showLog();
    }
    await sleep(POLL_MS, signal);
  }
}

function isOff({ lifecycleState }: AgentRef): boolean {
  return /^(shutting_down|shutdown_timeout|shutdown_error|off)$/.test(lifecycleState);
}
