import "@xterm/xterm/css/xterm.css";
import "./terminal.css";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { settings } from "../session/settings.ts";
import { KeyRow } from "./key-row.tsx";
import { type Ask, Questions } from "./questions.tsx";
import { SearchBox } from "./search-box.tsx";
import { StateLine } from "./state-line.tsx";
import { FIRST_VIEW, TerminalSession, type View } from "./terminal-session.ts";
import type { OpenTransport, TerminalTarget } from "./transport.ts";
import { openWebSocket } from "./web-socket-transport.ts";

export interface TerminalViewProps {
  readonly target: TerminalTarget;
  /** The program may have run before. */
  readonly known: boolean;
  /** What carries it; the server's WebSocket where nothing else is given. Never changed later. */
  readonly transport?: OpenTransport;
  /** The program ended, and a new one is wanted. */
  readonly onRestart: () => void;
  readonly onTitle: (title: string) => void;
}

/** One terminal: the screen, and the lines and questions around it. */
export function TerminalView({
  target,
  known,
  transport = openWebSocket,
  onRestart,
  onTitle,
}: TerminalViewProps): JSX.Element {
  const parent = useRef<HTMLDivElement>(null);
  const session = useRef<TerminalSession | undefined>(undefined);
  const view = useSignal<View>(FIRST_VIEW);
  const ask = useSignal<Ask | undefined>(undefined);
  const searching = useSignal(false);
  useEffect(() => {
    const element = parent.current;
    if (element === null) return;
    const opened = new TerminalSession(element, { target, known, open: transport }, settings.peek(), {
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
      files: () => undefined,
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
      <StateLine
        view={view.value}
        onRetry={() => session.current?.retryNow()}
        onRestart={onRestart}
        onTakeBack={() => session.current?.wake()}
        onUseOwnSize={() => session.current?.useOwnSize()}
      />
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
