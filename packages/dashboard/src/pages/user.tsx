import { useSignal } from "@preact/signals";
import type { User } from "coder-protocol/rest/users";
import type { JSX } from "preact";
import { setUserPolicy } from "../api/connection-policies.ts";
import { changePassword, keysOf, removeKeyOf, setRoles, setSuspended, userByName } from "../api/users.ts";
import { useResource } from "../live/resource.ts";
import { isOwner, user as self } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { CommandLine } from "../ui/copy.tsx";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { useWork, type Work } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { KeyTable } from "./key-table.tsx";
import { newPassword } from "./new-password.ts";
import { OwnersOnly } from "./owners-only.tsx";
import type { PageProps } from "./page-props.ts";
import { PolicyEditor } from "./policy/policy-editor.tsx";
import { USER_POLICIES } from "./policy/policy-words.ts";

/** One user: what the user may do, and where the user is logged in. */
export function UserPage({ params }: PageProps): JSX.Element {
  const { username = "" } = params;
  return isOwner.value ? <Page username={username} /> : <OwnersOnly title={username} />;
}

function Page({ username }: { readonly username: string }): JSX.Element {
  const { data, error, reload } = useResource(`user:${username}`, { load: (signal) => userByName(username, signal) });
  const person = data.value;
  return (
    <section class="page">
      <Breadcrumbs steps={[["/users", "Users"]]} />
      <div class="page-head">
        <h1>{username}</h1>
      </div>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {person === undefined ? null : <Person person={person} onChange={reload} />}
    </section>
  );
}

function Person({ person, onChange }: { readonly person: User; readonly onChange: () => void }): JSX.Element {
  const work = useWork();
  const owner = person.roles.some(({ name }) => name === "owner");
  const suspended = person.status === "suspended";
  return (
    <>
      <p class="facts">
        <State tone={suspended ? "bad" : "ok"}>{suspended ? "Suspended" : "Active"}</State>
        <span>{owner ? "Owner of the deployment" : "Member"}</span>
        <span>{person.email}</span>
        <span>
          Last seen <Time at={person.last_seen_at} />
        </span>
        <span>
          <a href={`/workspaces?filter=owner:${person.username}`}>Their workspaces</a>
        </span>
      </p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      {person.id === self.value?.id ? (
        <p class="quiet">
          This is you: your password and sessions are in the <a href="/settings/account">settings</a>, and another owner
          can change your role.
        </p>
      ) : (
        <Actions person={person} owner={owner} suspended={suspended} work={work} onChange={onChange} />
      )}
      <PolicyEditor
        options={USER_POLICIES}
        policy={person.connection_policy}
        onSave={async (policy) => {
          await setUserPolicy(person.id, policy);
          onChange();
        }}
      />
      <Keys person={person} work={work} />
    </>
  );
}

function Actions({
  person,
  owner,
  suspended,
  work,
  onChange,
}: {
  readonly person: User;
  readonly owner: boolean;
  readonly suspended: boolean;
  readonly work: Work;
  readonly onChange: () => void;
}): JSX.Element {
  const asking = useSignal<"none" | "reset" | "suspend">("none");
  const password = useSignal<string | undefined>(undefined);
  const close = (): void => {
    asking.value = "none";
  };
  const act = (change: () => Promise<unknown>): void =>
    work.run(async () => {
      await change();
      close();
      onChange();
    });
  return (
    <>
      <div class="actions">
        <button
          type="button"
          class="button"
          disabled={work.running}
          onClick={() => act(() => setRoles(person.id, owner ? [] : ["owner"]))}
        >
          {owner ? "Make member" : "Make owner"}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => {
            asking.value = "reset";
          }}
        >
          Reset password
        </button>
        <button
          type="button"
          class="button"
          disabled={work.running}
          onClick={() => {
            if (suspended) act(() => setSuspended(person.id, false));
            else asking.value = "suspend";
          }}
        >
          {suspended ? "Activate" : "Suspend"}
        </button>
      </div>
      {password.value === undefined ? null : (
        <div class="notice" role="status">
          <p>The new password, shown only once. They can change it in their settings.</p>
          <CommandLine text={password.value} label={`Password of ${person.username}`} secret />
        </div>
      )}
      {asking.value === "reset" ? (
        <Ask
          title={`Reset the password of ${person.username}?`}
          text="Every session and token of theirs ends, and a new password is shown once."
          agree="Reset it"
          onCancel={close}
          onAgree={() => {
            const made = newPassword();
            act(async () => {
              await changePassword(person.id, { old_password: "", password: made });
              password.value = made;
            });
          }}
        />
      ) : null}
      {asking.value === "suspend" ? (
        <Ask
          title={`Suspend ${person.username}?`}
          text="They are logged out everywhere, and their agents are refused until they are activated again."
          agree="Suspend"
          onCancel={close}
          onAgree={() => act(() => setSuspended(person.id, true))}
        />
      ) : null}
    </>
  );
}

function Ask({
  title,
  text,
  agree,
  onCancel,
  onAgree,
}: {
  readonly title: string;
  readonly text: string;
  readonly agree: string;
  readonly onCancel: () => void;
  readonly onAgree: () => void;
}): JSX.Element {
  return (
    <Dialog title={title} onCancel={onCancel}>
      <p>{text}</p>
      <div class="actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <ConsentButton danger onAgree={onAgree}>
          {agree}
        </ConsentButton>
      </div>
    </Dialog>
  );
}

function Keys({ person, work }: { readonly person: User; readonly work: Work }): JSX.Element {
  const { data, error, reload } = useResource(`keys:${person.id}`, { load: (signal) => keysOf(person.id, signal) });
  const keys = [...(data.value ?? [])].sort((one, other) => Date.parse(other.last_used) - Date.parse(one.last_used));
  return (
    <section>
      <h2>Sessions and tokens</h2>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {data.value?.length === 0 ? <p class="quiet">They are logged in nowhere.</p> : null}
      <KeyTable
        keys={keys}
        columns={{ name: "Session or token", created: "Began" }}
        nameOf={(key) => (key.token_name === "" ? <code>{key.id}</code> : `${key.token_name} (token)`)}
        remove={{ label: "End", labelOf: (key) => `End ${key.token_name === "" ? key.id : key.token_name}` }}
        work={work}
        removeKey={(id) => removeKeyOf(person.id, id)}
        onRemoved={reload}
      />
    </section>
  );
}
