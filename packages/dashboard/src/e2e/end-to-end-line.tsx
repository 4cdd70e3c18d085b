/** The line above a terminal whose bytes only this tab and the workspace can read, and the question when the tunnel fails. */
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { milliseconds } from "../base/words.ts";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { Icon } from "../ui/icon.tsx";
import { ChangedEnd, numberOf } from "./changed-end.tsx";
import type { EndToEnd } from "./link.ts";
import type { TunnelView } from "./messages.ts";

export interface EndToEndLineProps {
  readonly link: EndToEnd;
  /** The workspace accepts only end-to-end terminals. */
  readonly required: boolean;
  readonly onFallback: () => void;
}

export function EndToEndLine({ link, required, onFallback }: EndToEndLineProps): JSX.Element {
  const tunnel = link.tunnel.value;
  const asked = useSignal(true);
  const failed = tunnel.kind === "failed";
  useEffect(() => link.lookAgain(), [link]);
  if (!failed && !asked.peek()) asked.value = true;
  return (
    <div class="terminal-line" role="status">
      <Status tunnel={tunnel} />
      {tunnel.kind === "up" ? <Details tunnel={tunnel} /> : null}
      {tunnel.kind === "changed" ? (
        <ChangedEnd {...tunnel} onTrust={() => link.trust(tunnel.agentId, tunnel.found)} />
      ) : null}
      {failed && required ? <span>This workspace accepts only end-to-end encrypted terminals.</span> : null}
      {failed && !required ? (
        <button
          type="button"
          class="button small"
          onClick={() => {
            asked.value = true;
          }}
        >
          Use the server's connection…
        </button>
      ) : null}
      {failed && !required && asked.value ? (
        <Dialog
          title="Use the server's connection instead?"
          insistent
          onCancel={() => {
            asked.value = false;
          }}
        >
          <p>{tunnel.reason}</p>
          <p>The server's connection can read this session. It is used only if you say so.</p>
          <div class="actions">
            <button
              type="button"
              class="button"
              onClick={() => {
                asked.value = false;
              }}
            >
              Keep trying
            </button>
            <ConsentButton onAgree={onFallback}>Use the server's connection</ConsentButton>
          </div>
        </Dialog>
      ) : null}
    </div>
  );
}

function Status({ tunnel }: { readonly tunnel: TunnelView }): JSX.Element {
  if (tunnel.kind === "connecting") return <span>End-to-end: connecting…</span>;
  if (tunnel.kind === "changed")
    return <span>End-to-end: stopped. The workspace is not the one this browser knows.</span>;
  if (tunnel.kind === "failed") return <span>End-to-end: no connection. {tunnel.reason}</span>;
  const { region, latencyMs } = tunnel;
  const parts = ["end-to-end", ...(region === "" ? [] : [`relayed via ${region}`])];
  return (
    <span>
      <Icon name="lock" /> {parts.join(" · ")}
      {latencyMs === undefined ? "" : ` · ${milliseconds(latencyMs)}`}
    </span>
  );
}

/** What the encryption covers and what it does not, with the keys of both ends. */
function Details({ tunnel }: { readonly tunnel: Extract<TunnelView, { kind: "up" }> }): JSX.Element {
  return (
    <details class="end-to-end">
      <summary>Keys</summary>
      <dl>
        <dt>This tab</dt>
        <dd>
          <code>{grouped(tunnel.ownKey)}</code>
        </dd>
        <dt>Workspace</dt>
        <dd>
          <code>{grouped(tunnel.agentKey)}</code>
        </dd>
        <dt>Number of the machine</dt>
        <dd>
          {tunnel.end.kind === "identity" ? (
            <>
              <code>{numberOf(tunnel.end)}</code>
              <p class="quiet small-text">
                The agent's log on the machine has the same number: "the identity of this machine". This browser asks
                you when it changes.
              </p>
            </>
          ) : (
            <p class="quiet small-text">
              None: this agent has no lasting identity. This browser asks you when its key changes, which it does
              whenever the agent starts.
            </p>
          )}
        </dd>
      </dl>
      <p>
        Your keystrokes are encrypted from this tab to the workspace. The relay and the control plane's log, memory and
        disk never hold them. But this page's program came from the same server: an administrator who replaces it can
        read everything you type. When this browser connects for the first time, it takes the key that the server names.
        If that matters, compare the numbers, or use the command line.
      </p>
    </details>
  );
}

function grouped(key: string): string {
  return key.replace(/.{8}(?=.)/g, "$& ");
}
