import type { ExternalAgentCredentials, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { JSX } from "preact";
import { CommandLine } from "../../ui/copy.tsx";
import { TabList } from "../../ui/tabs.tsx";

const SYSTEMS = [
  { name: "linux", title: "Linux" },
  { name: "darwin", title: "macOS" },
  { name: "windows", title: "Windows" },
] as const;

const WHERE: Readonly<Record<string, string>> = {
  linux: "In a shell, as the user whose machine this is to be.",
  darwin: "In Terminal, as the user whose machine this is to be.",
  windows: "In PowerShell.",
};

/** The line that starts an agent, for each system. The tab of the declared system is shown first. */
export function StartCommand({
  credentials: { command, commands },
  agent,
  label,
}: {
  readonly credentials: ExternalAgentCredentials;
  readonly agent: WorkspaceAgent;
  readonly label: string;
}): JSX.Element {
  if (commands === undefined) return <CommandLine text={command} label={label} secret />;
  const declared = SYSTEMS.find(({ name }) => name === agent.operating_system) ?? SYSTEMS[0];
  return (
    <TabList label="System of the machine" tabs={SYSTEMS} first={declared.name}>
      {(shown) => (
        <>
          <CommandLine key={shown} text={commands[shown as keyof typeof commands]} label={label} secret />
          <p class="quiet small-text">{WHERE[shown]}</p>
        </>
      )}
    </TabList>
  );
}
