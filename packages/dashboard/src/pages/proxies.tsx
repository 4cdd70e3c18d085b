import { useSignal } from "@preact/signals";
import type { UpdateWorkspaceProxyResponse, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import type { JSX } from "preact";
import { listProxies } from "../api/workspace-proxies.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { CommandLine } from "../ui/copy.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { DeploymentFrame } from "./deployment-frame.tsx";
import { OwnersOnly } from "./owners-only.tsx";
import { type Asking, afterAnswer, withoutProxy } from "./proxies/after-answer.ts";
import { CreateProxy, DeleteProxy, EditProxy, ReplaceToken } from "./proxies/proxy-dialogs.tsx";
import { ProxyTable } from "./proxies/proxy-table.tsx";
import { isPrimary, startLine, statusOf, TOKEN_FILE, titleOf } from "./proxies/proxy-words.ts";
import { unsavedTokens } from "./proxies/unsaved-tokens.ts";

const EVERY_MS = 5_000;

export function Proxies(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Workspace proxies" />;
}

function Page(): JSX.Element {
  const { data, error, reload } = useResource("workspace-proxies", {
    load: listProxies,
    watch: (changes, life) => {
      const timer = setInterval(() => {
        if (document.visibilityState === "visible") changes.reload();
      }, EVERY_MS);
      life.addEventListener("abort", () => clearInterval(timer));
    },
  });
  const asking = useSignal<Asking | undefined>(undefined);
  const ask = (next: Asking) => (): void => {
    asking.value = { ...next }; // a new object each time
  };
  const done = (answered: Asking, made?: UpdateWorkspaceProxyResponse): void => {
    const after = afterAnswer({ asking: asking.value, tokens: unsavedTokens.value }, answered, made);
    asking.value = after.asking;
    unsavedTokens.value = after.tokens;
    reload();
  };
  const proxies = data.value;
  const asked = asking.value;
  return (
    <DeploymentFrame title="Workspace proxies">
      <div class="page-head">
        <p class="quiet lead">
          A proxy carries connections near the people who use them. Clients and agents choose the nearest by themselves.
        </p>
        <button type="button" class="button primary" onClick={ask({ what: "create" })}>
          <Icon name="plus" /> Add a proxy
        </button>
      </div>
      {unsavedTokens.value.map((made) => (
        <NewToken
          key={made.proxy_token}
          made={made}
          proxies={proxies ?? []}
          onSaved={() => {
            unsavedTokens.value = withoutProxy(unsavedTokens.value, made.proxy.id);
          }}
        />
      ))}
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {proxies === undefined ? null : (
        <ProxyTable proxies={proxies} actions={(proxy) => <Actions proxy={proxy} ask={ask} />} />
      )}
      {proxies?.length === 1 ? (
        <p class="quiet">There is no proxy yet: every connection without a direct path goes through the deployment.</p>
      ) : null}
      {asked === undefined ? null : (
        <Asked asking={asked} onClose={() => (asking.value = undefined)} onDone={(made) => done(asked, made)} />
      )}
    </DeploymentFrame>
  );
}

function Asked({
  asking,
  onClose,
  onDone,
}: {
  readonly asking: Asking;
  readonly onClose: () => void;
  readonly onDone: (made?: UpdateWorkspaceProxyResponse) => void;
}): JSX.Element {
  switch (asking.what) {
    case "create":
      return <CreateProxy onClose={onClose} onMade={onDone} />;
    case "edit":
      return <EditProxy proxy={asking.proxy} onClose={onClose} onChanged={onDone} />;
    case "token":
      return <ReplaceToken proxy={asking.proxy} onClose={onClose} onMade={onDone} />;
    case "delete":
      return <DeleteProxy proxy={asking.proxy} onClose={onClose} onDeleted={onDone} />;
  }
}

function Actions({
  proxy,
  ask,
}: {
  readonly proxy: WorkspaceProxy;
  readonly ask: (next: Asking) => () => void;
}): JSX.Element {
  const buttons = [
    ["edit", "Edit"],
    ["token", "New token"],
    ["delete", "Delete"],
  ] as const;
  return (
    <>
      {buttons
        .filter(([what]) => what === "edit" || !isPrimary(proxy))
        .map(([what, label]) => (
          <button
            key={what}
            type="button"
            class="button small"
            aria-label={`${label}: ${titleOf(proxy)}`}
            onClick={ask({ what, proxy })}
          >
            {label}
          </button>
        ))}
    </>
  );
}

/** A proxy's token, shown until it is saved, with the command that starts the proxy and whether the proxy has registered. */
function NewToken({
  made,
  proxies,
  onSaved,
}: {
  readonly made: UpdateWorkspaceProxyResponse;
  readonly proxies: readonly WorkspaceProxy[];
  readonly onSaved: () => void;
}): JSX.Element {
  const proxy = proxies.find(({ id }) => id === made.proxy.id) ?? made.proxy;
  const primaryUrl = proxies.find(isPrimary)?.path_app_url ?? location.origin;
  const { tone, text } = statusOf(proxy);
  return (
    <section class="notice steps" aria-label={`Token of ${titleOf(proxy)}`}>
      <p role="status">
        The token of <strong>{titleOf(proxy)}</strong> is shown only once. Save it on the machine of the proxy in a file{" "}
        <code>{TOKEN_FILE}</code> that only the account of the proxy can read:
      </p>
      <CommandLine text={made.proxy_token} label="Token" secret />
      <p>Then start the proxy. Its access URL is the address at which clients, agents and this deployment reach it:</p>
      <CommandLine text={startLine(proxy, primaryUrl)} label="Command line that starts the proxy" />
      <p class="quiet small-text">
        With <code>--derp-only</code> it is a relay alone, which sees no plaintext; without it, browsers can open
        terminals through it.
      </p>
      <div class="actions">
        <button type="button" class="button" onClick={onSaved}>
          The token is saved
        </button>
        <State tone={tone}>{text}</State>
      </div>
    </section>
  );
}
