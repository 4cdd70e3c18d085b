/** The changes that an owner can make to a workspace proxy, each with its consequences. */
import { useSignal } from "@preact/signals";
import type {
  PatchWorkspaceProxyRequest,
  UpdateWorkspaceProxyResponse,
  WorkspaceProxy,
} from "coder-protocol/rest/workspace-proxies";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { createProxy, deleteProxy, editProxy } from "../../api/workspace-proxies.ts";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import { Field, Form, useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { END_AT_ONCE, isPrimary, nameProblem, titleOf } from "./proxy-words.ts";

const MAX_NAME = 32;
const MAX_DISPLAY_NAME = 128;
const MAX_HOST = 253;

interface DialogProps {
  readonly onClose: () => void;
}

export function CreateProxy({
  onClose,
  onMade,
}: DialogProps & { readonly onMade: (made: UpdateWorkspaceProxyResponse) => void }): JSX.Element {
  const work = useWork();
  const name = useSignal("");
  const wrong = name.value === "" ? undefined : nameProblem(name.value);
  return (
    <Dialog title="Add a workspace proxy" onCancel={onClose}>
      <p>
        A proxy carries connections near the people who use them. It gets a token, shown once, and starts with one
        command.
      </p>
      <Form
        work={work}
        onCancel={onClose}
        submit="Add the proxy"
        onSubmit={async ({ display_name = "" }) => {
          if (wrong === undefined) onMade(await createProxy({ name: name.value, display_name }));
        }}
      >
        <Field
          label="Name"
          name="name"
          value={name.value}
          maxLength={MAX_NAME}
          autoFocus
          autocomplete="off"
          hint="Lower-case letters, digits and hyphens, such as sydney"
          problem={wrong ?? work.error?.fields["name"]}
          onInput={(value) => {
            name.value = value;
          }}
        />
        <Field
          label="Display name"
          name="display_name"
          maxLength={MAX_DISPLAY_NAME}
          autocomplete="off"
          required={false}
          hint="Name of the region in lists, such as Sydney; the name above when empty"
          problem={work.error?.fields["display_name"]}
        />
      </Form>
    </Dialog>
  );
}

const EDITABLE = ["name", "display_name", "access_url", "wildcard_hostname"] as const;
type Editable = Readonly<Record<(typeof EDITABLE)[number], string>>;

function editableOf({ name, display_name, path_app_url, wildcard_hostname }: WorkspaceProxy): Editable {
  return { name, display_name, access_url: path_app_url, wildcard_hostname };
}

/** Only the differences, because an access URL that is sent is checked even if it is the present one. */
function changeOf(before: Editable, after: Editable): PatchWorkspaceProxyRequest {
  const changed = EDITABLE.filter((field) => after[field].trim() !== before[field]);
  return Object.fromEntries(changed.map((field) => [field, after[field].trim()]));
}

export function EditProxy({
  proxy,
  onClose,
  onChanged,
}: DialogProps & { readonly proxy: WorkspaceProxy; readonly onChanged: () => void }): JSX.Element {
  const work = useWork();
  const primary = isPrimary(proxy);
  const before = useMemo(() => editableOf(proxy), [proxy]);
  const after = useSignal(before);
  const wrongName = primary ? undefined : nameProblem(after.value.name);
  const field = (name: keyof Editable) => ({
    name,
    value: after.value[name],
    autocomplete: "off",
    onInput: (value: string): void => {
      after.value = { ...after.value, [name]: value };
    },
    problem: (name === "name" ? wrongName : undefined) ?? work.error?.fields[name],
    // For the API an empty value means "unchanged"; only a wildcard can be cleared.
    required: name !== "wildcard_hostname" && before[name] !== "",
  });
  return (
    <Dialog title={`Edit ${titleOf(proxy)}`} onCancel={onClose}>
      <Form
        work={work}
        onCancel={onClose}
        submit="Save"
        onSubmit={async () => {
          if (wrongName !== undefined) return;
          const change = changeOf(before, after.value);
          if (Object.keys(change).length > 0) await editProxy(proxy.id, change);
          onChanged();
        }}
      >
        <Field
          {...field("display_name")}
          label="Display name"
          maxLength={MAX_DISPLAY_NAME}
          autoFocus
          hint="Name of the region in lists"
        />
        {primary ? null : (
          <>
            <Field
              {...field("name")}
              label="Name"
              maxLength={MAX_NAME}
              hint="Commands that name the region, such as coder ssh --region, need the new one"
            />
            <Field
              {...field("access_url")}
              label="Access URL"
              hint="With another one the region leaves the relay map until a process of the proxy registers with it"
            />
            <Field
              {...field("wildcard_hostname")}
              label="Host names of web apps"
              maxLength={MAX_HOST}
              hint="Such as *.apps.sydney.example.com; empty for none"
            />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function ReplaceToken({
  proxy,
  onClose,
  onMade,
}: DialogProps & {
  readonly proxy: WorkspaceProxy;
  readonly onMade: (made: UpdateWorkspaceProxyResponse) => void;
}): JSX.Element {
  const work = useWork();
  return (
    <Dialog title={`Replace the token of ${titleOf(proxy)}?`} onCancel={onClose}>
      <p>The present token is refused at once, and the connections of the proxy to this deployment end.</p>
      <p>
        Its region leaves the relay map and comes back when a process registers with the new token. Sessions that it
        relays go on for up to 15 minutes. {END_AT_ONCE}
      </p>
      <p class="quiet">A running process reads the new token from its token file without a restart.</p>
      {work.error === undefined ? null : <Problem error={work.error} />}
      <div class="actions">
        <CancelButton onClose={onClose} />
        <ConsentButton
          danger
          disabled={work.running}
          onAgree={() => work.run(async () => onMade(await editProxy(proxy.id, { regenerate_token: true })))}
        >
          Replace the token
        </ConsentButton>
      </div>
    </Dialog>
  );
}

export function DeleteProxy({
  proxy,
  onClose,
  onDeleted,
}: DialogProps & { readonly proxy: WorkspaceProxy; readonly onDeleted: () => void }): JSX.Element {
  const work = useWork();
  const typed = useSignal("");
  const agreed = typed.value === proxy.name && !work.running;
  const remove = (): void =>
    work.run(async () => {
      await deleteProxy(proxy.id);
      onDeleted();
    });
  return (
    <Dialog title={`Delete ${titleOf(proxy)}?`} onCancel={onClose}>
      <p>
        Its token is refused at once and its region leaves the relay map for good. Sessions that it relays go on through
        another relay. {END_AT_ONCE}
      </p>
      <p class="quiet">The process is not stopped from here: end it on its machine.</p>
      <Field
        label={`Type ${proxy.name} to delete it`}
        name="confirmation"
        autocomplete="off"
        required={false}
        autoFocus
        onInput={(value) => {
          typed.value = value;
        }}
      />
      {work.error === undefined ? null : <Problem error={work.error} />}
      <div class="actions">
        <CancelButton onClose={onClose} />
        <ConsentButton danger disabled={!agreed} onAgree={remove}>
          Delete the proxy
        </ConsentButton>
      </div>
    </Dialog>
  );
}

function CancelButton({ onClose }: DialogProps): JSX.Element {
  return (
    <button type="button" class="button" onClick={onClose}>
      Cancel
    </button>
  );
}
