import { useSignal } from "@preact/signals";
import { MAX_NAME_LENGTH, validateWorkspaceName } from "coder-protocol/names";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { setWorkspacePolicy } from "../api/connection-policies.ts";
import { buildWorkspace, renameWorkspace } from "../api/workspaces.ts";
import { useWorkspace } from "../live/sources.ts";
import { navigate } from "../router/location.ts";
import { isOwner } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { ConsentButton } from "../ui/dialog.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import type { PageProps } from "./page-props.ts";
import { PolicyEditor } from "./policy/policy-editor.tsx";
import { WORKSPACE_POLICIES } from "./policy/policy-words.ts";
import { AppsEditor } from "./workspace/apps-editor.tsx";

export function WorkspaceSettings({ params }: PageProps): JSX.Element {
  const { owner = "", workspace: name = "" } = params;
  const { data, error, reload } = useWorkspace(owner, name);
  return (
    <section class="page narrow">
      <Breadcrumbs
        steps={[
          ["/workspaces", "Workspaces"],
          [`/@${owner}/${name}`, name],
        ]}
      />
      <h1>Settings of {name}</h1>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {data.value === undefined ? null : (
        <>
          <Rename workspace={data.value} />
          <AppsEditor workspace={data.value} />
          {isOwner.value ? <Policy workspace={data.value} onChange={reload} /> : null}
          <Delete workspace={data.value} />
        </>
      )}
    </section>
  );
}

function Rename({ workspace }: { readonly workspace: Workspace }): JSX.Element {
  const work = useWork();
  const name = useSignal(workspace.name);
  const wrong = validateWorkspaceName(name.value);
  return (
    <section>
      <h2>Name</h2>
      <Form
        work={work}
        submit="Rename"
        onSubmit={async () => {
          if (wrong !== undefined || name.value === workspace.name) return;
          await renameWorkspace(workspace.id, name.value);
          navigate(`/@${workspace.owner_name}/${name.value}/settings`, { replace: true });
        }}
      >
        <Field
          label="Name of the workspace"
          name="name"
          value={name.value}
          maxLength={MAX_NAME_LENGTH}
          problem={wrong}
          hint="SSH host names and links that hold the old name stop working"
          onInput={(value) => {
            name.value = value;
          }}
        />
      </Form>
    </section>
  );
}

function Policy({
  workspace,
  onChange,
}: {
  readonly workspace: Workspace;
  readonly onChange: () => void;
}): JSX.Element {
  return (
    <PolicyEditor
      options={WORKSPACE_POLICIES}
      policy={workspace.connection_policy}
      onSave={async (policy) => {
        await setWorkspacePolicy(workspace.id, policy);
        onChange();
      }}
    />
  );
}

function Delete({ workspace }: { readonly workspace: Workspace }): JSX.Element {
  const work = useWork();
  const typed = useSignal("");
  return (
    <section class="danger-zone">
      <h2>Delete</h2>
      <p>
        Deletes the registration and the agent's token. Sessions end. The machine itself, with its files and the
        installed command, stays as it is.
      </p>
      <Field
        label={`Type ${workspace.name} to delete it`}
        name="confirmation"
        required={false}
        autocomplete="off"
        onInput={(value) => {
          typed.value = value;
        }}
      />
      {work.error === undefined ? null : <Problem error={work.error} />}
      <ConsentButton
        danger
        disabled={typed.value !== workspace.name || work.running}
        onAgree={() =>
          work.run(async () => {
            await buildWorkspace(workspace.id, "delete");
            navigate("/workspaces");
          })
        }
      >
        Delete the workspace
      </ConsentButton>
    </section>
  );
}
