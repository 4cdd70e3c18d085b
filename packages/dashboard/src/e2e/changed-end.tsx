/** The question whether to trust a workspace that is not the one that this browser knows. */
import { useSignal } from "@preact/signals";
import { safetyNumber } from "coder-protocol/agent-identity";
import type { JSX } from "preact";
import { ConsentButton, Dialog } from "../ui/dialog.tsx";
import { Time } from "../ui/time.tsx";
import type { FarEnd, TunnelView } from "./messages.ts";

type Changed = Extract<TunnelView, { kind: "changed" }>;

/** Nothing is sent to the workspace before the answer, and no other connection takes its place. */
export function ChangedEnd({
  known,
  found,
  onTrust,
}: Pick<Changed, "known" | "found"> & { readonly onTrust: () => void }): JSX.Element {
  const asked = useSignal(true);
  const dismiss = (): void => {
    asked.value = false;
  };
  return (
    <>
      <button
        type="button"
        class="button small"
        onClick={() => {
          asked.value = true;
        }}
      >
        Compare…
      </button>
      {asked.value ? (
        <Dialog title="This is not the machine that this browser knows" insistent onCancel={dismiss}>
          <dl class="pairs">
            <dt>Known</dt>
            <dd>
              <code>{numberOf(known)}</code>{" "}
              <span class="quiet small-text">
                since <Time at={new Date(known.since).toISOString()} />
              </span>
            </dd>
            <dt>Now there</dt>
            <dd>
              <code>{numberOf(found)}</code>
            </dd>
          </dl>
          <p>{explanation(known, found)}</p>
          <p>
            If you do not know of such a change, do not connect: somebody may be answering in the machine's place. The
            number of the machine is in its agent's log.
          </p>
          <div class="actions">
            <button type="button" class="button" onClick={dismiss}>
              Do not connect
            </button>
            <ConsentButton danger onAgree={onTrust}>
              Trust it from now on
            </ConsentButton>
          </div>
        </Dialog>
      ) : null}
    </>
  );
}

function explanation(known: FarEnd, found: FarEnd): string {
  if (known.kind === "key" && found.kind === "key")
    return "Its agent has no lasting identity, so this also happens whenever the agent is started again.";
  if (found.kind === "key")
    return "The known machine could prove its identity, and this one does not. This happens when its agent is replaced by an older one, or can no longer keep the file with its identity.";
  return known.kind === "key"
    ? "Its agent had no lasting identity before. This happens when the agent is updated."
    : "This happens when the machine is set up again, or loses the file with its identity.";
}

/** What people compare: the digits of an identity, or the beginning of a key that changes at each start. */
export function numberOf({ kind, key }: FarEnd): string {
  if (kind === "key") return `key ${key.slice(0, 16)}…`;
  return safetyNumber(Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)));
}
