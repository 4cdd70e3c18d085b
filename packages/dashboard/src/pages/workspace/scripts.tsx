import type { AgentScript, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { JSX } from "preact";
import { State, type Tone } from "../../ui/state.tsx";

/** The agent's scripts and how their latest runs ended. */
export function Scripts({ agent }: { readonly agent: WorkspaceAgent }): JSX.Element | null {
  if (agent.scripts.length === 0) return null;
  return (
    <section>
      <h3>Scripts</h3>
      <table class="list compact">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Runs</th>
            <th scope="col">Latest run</th>
          </tr>
        </thead>
        <tbody>
          {agent.scripts.map((script) => {
            const { tone, text } = ending(script);
            return (
              <tr key={script.id}>
                <th scope="row">{script.display_name}</th>
                <td data-label="Runs">{triggersOf(script)}</td>
                <td data-label="Latest run">
                  <State tone={tone}>{text}</State>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

function triggersOf({ run_on_start: start, run_on_stop: stop, cron }: AgentScript): string {
  const all = [start ? "at start" : "", stop ? "at stop" : "", cron === "" ? "" : `by schedule ${cron}`];
  return all.filter((one) => one !== "").join(", ") || "never";
}

function ending({ status, exit_code: code }: AgentScript): { readonly tone: Tone; readonly text: string } {
  switch (status) {
    case undefined:
      return { tone: "idle", text: "Not run yet" };
    case "ok":
      return { tone: "ok", text: "Succeeded" };
    case "timed_out":
      return { tone: "bad", text: "Ran too long and was ended" };
    case "pipes_left_open":
      return { tone: "warn", text: "Left its output open" };
    case "exit_failure":
      return { tone: "bad", text: `Exit code ${code ?? "unknown"}` };
  }
}
