import { useSignal } from "@preact/signals";
import { MAX_NAME_LENGTH, validateWorkspaceName } from "coder-protocol/names";
import type { ExternalAgentCredentials } from "coder-protocol/rest/agents";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { agentCredentials, createWorkspace } from "../api/workspaces.ts";
import { systemOf } from "../base/visitors-system.ts";
import { useWorkspace } from "../live/sources.ts";
import { navigate } from "../router/location.ts";
import { user } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { agentsOf } from "./agents-of.ts";
import { AppPresets, chosenApps } from "./create/app-presets.tsx";
import { Checklist } from "./create/checklist.tsx";
import type { PageProps } from "./page-props.ts";
import { StartCommand } from "./workspace/start-command.tsx";

/** Adds a machine: its name, a command to run on it, and which steps are done. The steps' state is the workspace itself. */
export function Create({ query }: PageProps): JSX.Element {
  const made = query.get("made");
  return (
    <section class="page narrow">
      <Breadcrumbs steps={[["/workspaces", "Workspaces"]]} />
      <h1>Add a machine</h1>
      {made === null || validateWorkspaceName(made) !== undefined ? (
        <NameStep proposed={query.get("name") ?? ""} />
      ) : (
        <MachineSteps name={made} />
      )}
    </section>
  );
}

const SYSTEMS = [
  ["linux", "amd64", "Linux, 64-bit Intel or AMD"],
  ["linux", "arm64", "Linux, 64-bit ARM"],
  ["darwin", "arm64", "macOS, Apple silicon"],
  ["darwin", "amd64", "macOS, Intel"],
  ["windows", "amd64", "Windows"],
] as const;

function NameStep({ proposed }: { readonly proposed: string }): JSX.Element {
  const work = useWork();
  const name = useSignal(validateWorkspaceName(proposed) === undefined ? proposed : "");
  const own = SYSTEMS.findIndex(([os]) => os === systemOf(navigator.userAgent));
  const wrong = name.value === "" ? undefined : validateWorkspaceName(name.value);
  return (
    <Form
      work={work}
      submit="Create the workspace"
      onSubmit={async (values) => {
        const { agent = "", system = "" } = values;
        if (wrong !== undefined) return;
        const [os, arch] = SYSTEMS[Number(system)] ?? SYSTEMS[0];
        const made = await createWorkspace({
          name: name.value,
          agent_os: os,
          agent_arch: arch,
          agent_name: agent || undefined,
          apps: chosenApps(values),
        });
        navigate(`/workspaces/new?made=${made.name}`, { replace: true });
      }}
    >
      <Field
        label="Name"
        name="name"
        value={name.value}
        maxLength={MAX_NAME_LENGTH}
        autoFocus
        hint="Letters, digits and single hyphens"
        problem={wrong ?? work.error?.fields["name"]}
        onInput={(value) => {
          name.value = value;
        }}
      />
      <div class="field">
        <label for="system">Operating system of the machine</label>
        <select id="system" name="system">
          {SYSTEMS.map(([, , label], index) => (
            <option key={label} value={index} selected={index === own}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <details>
        <summary>More</summary>
        <AppPresets />
        <Field
          label="Name of its agent"
          name="agent"
          required={false}
          maxLength={MAX_NAME_LENGTH}
          hint="Only needed to tell several agents apart; “main” when empty"
          problem={work.error?.fields["agent_name"]}
        />
      </details>
    </Form>
  );
}

function MachineSteps({ name }: { readonly name: string }): JSX.Element {
  const owner = user.value?.username ?? "";
  const { data, error, reload } = useWorkspace(owner, name);
  const work = useWork();
  const credentials = useSignal<ExternalAgentCredentials | undefined>(undefined);
  const workspace = data.value;
  const agent = workspace === undefined ? undefined : agentsOf(workspace)[0];
  const [workspaceId, agentName] = [workspace?.id, agent?.name];
  useEffect(() => {
    if (workspaceId === undefined || agentName === undefined) return;
    work.run(async () => {
      credentials.value = await agentCredentials(workspaceId, agentName);
    });
  }, [workspaceId, agentName]);
  if (error.value !== undefined) return <Problem error={error.value} retry={reload} />;
  if (workspace === undefined || agent === undefined) return <p class="quiet">One moment…</p>;
  const connected = agent.status === "connected";
  return (
    <>
      <p>
        The workspace <a href={`/@${owner}/${name}`}>{name}</a> is there. Run this on the machine:
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      {credentials.value === undefined ? null : (
        <StartCommand credentials={credentials.value} agent={agent} label="Command for the machine" />
      )}
      <p class="quiet small-text">
        The command contains the token of this agent. Keep it secret: with it another machine can pass for this one. The
        page of the workspace shows the command again, and can replace the token.
      </p>
      <Checklist agent={agent} />
      <div class="actions">
        {connected ? (
          <a class="button primary" href={`/@${owner}/${name}/terminal`}>
            Open a terminal
          </a>
        ) : null}
        <a class="button" href={`/@${owner}/${name}`}>
          Go to the workspace
        </a>
      </div>
    </>
  );
}
