import "@xterm/xterm/css/xterm.css";
import "./terminal.css";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { settings } from "../session/settings.ts";
import { KeyRow } from "./key-row.tsx";
import type { PtyTarget } from "./pty-connection.ts";
import { type Ask, Questions } from "./questions.tsx";
import { SearchBox } from "./search-box.tsx";
import { StateLine } from "./state-line.tsx";
import { TerminalSession, type View } from "./terminal-session.ts";

export interface TerminalViewProps {
  readonly target: PtyTarget;
  /** The program may have run before. */
  readonly known: boolean;
  /** The program ended, and a new one is wanted. */
  readonly onRestart: () => void;
  readonly onTitle: (title: string) => void;
}

/** One terminal: the screen, and the lines and questions around it. */
export function TerminalView({ target, known, onRestart, onTitle }: TerminalViewProps): JSX.Element {
  const parent = useRef<HTMLDivElement>(null);
  const session = useRef<TerminalSession | undefined>(undefined);
  const view = useSignal<View>({ state: { kind: "connecting" }, notice: "", dropped: false });
  const ask = useSignal<Ask | undefined>(undefined);
  const searching = useSignal(false);
  useEffect(() => {
    const element = parent.current;
    if (element === null) return;
    const opened = new TerminalSession(element, { target, known }, settings.peek(), {
      show: (change) => {
        view.value = { ...view.peek(), ...change };
      },
      ask: (question) => {
        ask.value = question;
      },
      title: onTitle,
      restart: onRestart,
      search: () => {
        searching.value = true;
      },
    });
    session.current = opened;
    return () => opened.close();
  }, []);
  useEffect(() => session.current?.apply(settings.value), [settings.value]);
  const focus = (): void => session.current?.focus();
  const { state } = view.value;
  const away = state.kind !== "open";
  return (
    <>
      <StateLine view={view.value} onRetry={() => session.current?.retryNow()} onRestart={onRestart} />
      <div class={away ? "terminal-screen away" : "terminal-screen"}>
        <div ref={parent} />
        {searching.value ? (
          <SearchBox
            onSearch={(text, back) => session.current?.find(text, back) ?? false}
            onClose={() => {
              searching.value = false;
              focus();
            }}
          />
        ) : null}
      </div>
      <KeyRow onKey={(text) => session.current?.type(text)} />
      {ask.value === undefined ? null : (
        <Questions
          ask={ask.value}
          onDone={() => {
            ask.value = undefined;
            focus();
          }}
        />
      )}
    </>
  );
}
