import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { loginAddress } from "../router/login-address.ts";
import { localPage } from "../session/session.ts";
import type { View } from "./terminal-session.ts";

const NOTICE_MS = 4_000;
/** An attempt that takes longer than this is mentioned. */
const SLOW_ATTEMPT_MS = 1_000;

/** A line above the terminal, never inside it, so that no program's output can imitate it. */
export function StateLine({
  view,
  onRetry,
  onRestart,
  onTakeBack,
  onUseOwnSize,
  onDetachOthers,
}: {
  readonly view: View;
  readonly onRetry: () => void;
  readonly onRestart: () => void;
  /** Called to take the terminal back after another viewer asked this one to leave. */
  readonly onTakeBack: () => void;
  readonly onUseOwnSize: () => void;
  readonly onDetachOthers: () => void;
}): JSX.Element {
  const { state, dropped, sizedFor, viewers } = view;
  return (
    <div role="status">
      {state.kind === "connecting" ? <Connecting dropped={dropped} /> : null}
      {state.kind === "waiting" ? (
        <p class="terminal-line">
          <Countdown retryAt={state.retryAt} reason={state.reason} />
          {dropped ? <KeysDropped /> : null}
          <button type="button" class="button small" onClick={onRetry}>
            Reconnect now
          </button>
        </p>
      ) : null}
      {state.kind === "ended" ? (
        <p class="terminal-line">
          Session ended. Enter starts a new one.
          <button type="button" class="button small" onClick={onRestart}>
            New session
          </button>
        </p>
      ) : null}
      {state.kind === "denied" ? (
        <p class="terminal-line">
          Your access ended.
          {localPage.value === undefined ? (
            <a class="button small" href={loginAddress(location)}>
              Log in
            </a>
          ) : (
            <span>The command that served this page says why.</span>
          )}
        </p>
      ) : null}
      {state.kind === "gone" ? (
        <p class="terminal-line">
          This workspace is gone.
          {localPage.value === undefined ? (
            <a class="button small" href="/workspaces">
              Workspaces
            </a>
          ) : null}
        </p>
      ) : null}
      {state.kind === "replaced" ? (
        <p class="terminal-line">
          Another window took over this terminal.
          <button type="button" class="button small" onClick={onTakeBack}>
            Take it back
          </button>
        </p>
      ) : null}
      {state.kind === "open" && sizedFor !== undefined ? (
        <p class="terminal-line">
          Sized for {sizedFor.name === "" ? "another window" : `${sizedFor.name}'s window`} ({sizedFor.cols}×
          {sizedFor.rows}).
          <button type="button" class="button small" onClick={onUseOwnSize}>
            Use mine
          </button>
        </p>
      ) : null}
      {state.kind === "open" && viewers.length > 1 ? (
        <p class="terminal-line">
          {viewers.length} viewers: {viewers.map((name) => (name === "" ? "a command line" : name)).join(", ")}
          <button type="button" class="button small" onClick={onDetachOthers}>
            Detach the others
          </button>
        </p>
      ) : null}
      <Notice text={view.notice} />
    </div>
  );
}

function KeysDropped(): JSX.Element {
  return <strong>Keys are not sent now.</strong>;
}

function Connecting({ dropped }: { readonly dropped: boolean }): JSX.Element | null {
  const slow = useSignal(false);
  useEffect(() => {
    const timer = setTimeout(() => {
      slow.value = true;
    }, SLOW_ATTEMPT_MS);
    return () => clearTimeout(timer);
  }, [slow]);
  if (!dropped && !slow.value) return null;
  return (
    <p class="terminal-line">
      <span>Connecting…</span>
      {dropped ? <KeysDropped /> : null}
    </p>
  );
}

function Countdown({ retryAt, reason }: { readonly retryAt: number; readonly reason: string }): JSX.Element {
  const seconds = useSignal(0);
  useEffect(() => {
    const tick = (): void => {
      seconds.value = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
    };
    tick();
    const timer = setInterval(tick, 500);
    return () => clearInterval(timer);
  }, [retryAt, seconds]);
  const next = seconds.value === 0 ? "Reconnecting…" : `Reconnecting in ${seconds.value} s…`;
  return (
    <span>
      {reason === "" ? "" : `${reason} `}
      {next}
    </span>
  );
}

function Notice({ text }: { readonly text: string }): JSX.Element | null {
  const shown = useSignal("");
  useEffect(() => {
    shown.value = text;
    const timer = setTimeout(() => {
      shown.value = "";
    }, NOTICE_MS);
    return () => clearTimeout(timer);
  }, [text, shown]);
  return shown.value === "" ? null : <p class="terminal-line">{shown.value}</p>;
}
