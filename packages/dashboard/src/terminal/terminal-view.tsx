import "@xterm/xterm/css/xterm.css";
import "./terminal.css";
import { type Signal, useSignal } from "@preact/signals";
import type { JSX, RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { settings } from "../session/settings.ts";
import { type HeldKey, KeyRow } from "./key-row.tsx";
import type { AppPlace } from "./link-target.ts";
import { type Ask, Questions } from "./questions.tsx";
import { openAtRegion } from "./region-transport.ts";
import { SearchBox } from "./search-box.tsx";
import { StateLine } from "./state-line.tsx";
import { FIRST_VIEW, type TabKey, TerminalSession, type View } from "./terminal-session.ts";
import type { OpenTransport, TerminalTarget } from "./transport.ts";
import { UploadLines, type Uploads, useUploads } from "./uploads.tsx";

export interface TerminalViewProps {
  readonly target: TerminalTarget;
  /** Whether the program may have run before. */
  readonly known: boolean;
  /** The transport; by default the server's WebSocket. It must not change later. */
  readonly transport?: OpenTransport;
  /** Whether this terminal is the shown one. */
  readonly shown?: boolean;
  readonly apps?: () => AppPlace | undefined;
  /** Why no files can be uploaded from here; absent if they can. */
  readonly noUploads?: string;
  /** The program has ended, and the user wants a new one. */
  readonly onRestart: () => void;
  readonly onTitle: (title: string) => void;
  /** The program asks for the user's attention. */
  readonly onAttention: () => void;
  readonly onTab?: (key: TabKey) => void;
}

/** How long a terminal that is not shown stays connected. */
const REST_AFTER_MS = 30_000;

/** One terminal: the screen, and the lines and questions around it. */
export function TerminalView(props: TerminalViewProps): JSX.Element {
  const { target, shown = true, onRestart } = props;
  const parent = useRef<HTMLDivElement>(null);
  const view = useSignal<View>(FIRST_VIEW);
  const ask = useSignal<Ask | undefined>(undefined);
  const searching = useSignal(false);
  const held = useSignal<HeldKey>(undefined);
  const uploads = useUploads(target.agentId, target.id);
  const session = useSession(props, parent, { view, ask, searching, held, uploads });
  const focus = (): void => session.current?.focus();
  const away = view.value.state.kind !== "open";
  return (
    <div class="terminal-place" hidden={!shown}>
      <StateLine
        view={view.value}
        onRetry={() => session.current?.retryNow()}
        onRestart={onRestart}
        onTakeBack={() => session.current?.wake()}
        onUseOwnSize={() => session.current?.useOwnSize()}
        onDetachOthers={() => session.current?.detachOthers()}
      />
      <UploadLines uploads={uploads} />
      <div class={away ? "terminal-screen away" : "terminal-screen"}>
        <div ref={parent} class={view.value.sizedFor === undefined ? "" : "letter-box"} />
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
      <KeyRow
        held={held.value}
        onHold={(key) => {
          held.value = key;
          if (session.current !== null) session.current.held = key;
        }}
        onKey={(text) => session.current?.type(text)}
        onPaste={(text) => session.current?.paste(text)}
      />
      {ask.value === undefined ? null : (
        <Questions
          ask={ask.value}
          onDone={() => {
            ask.value = undefined;
            focus();
          }}
        />
      )}
    </div>
  );
}

interface Shows {
  readonly view: Signal<View>;
  readonly ask: Signal<Ask | undefined>;
  readonly searching: Signal<boolean>;
  readonly held: Signal<HeldKey>;
  readonly uploads: Uploads;
}

/** The session of a mounted view: opened and closed with it, and at rest while it is not shown. */
function useSession(
  props: TerminalViewProps,
  parent: RefObject<HTMLDivElement | null>,
  { view, ask, searching, held, uploads }: Shows,
): RefObject<TerminalSession | null> {
  const { target, known, transport = openAtRegion, shown = true } = props;
  const session = useRef<TerminalSession>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const element = parent.current;
    if (element === null) return;
    const apps = (): AppPlace | undefined => latest.current.apps?.();
    const opened = new TerminalSession(element, { target, known, open: transport, apps }, settings.peek(), {
      show: (change) => {
        view.value = { ...view.peek(), ...change };
      },
      ask: (question) => {
        ask.value = question;
      },
      title: (text) => latest.current.onTitle(text),
      attention: () => latest.current.onAttention(),
      restart: () => latest.current.onRestart(),
      search: () => {
        searching.value = true;
      },
      files: (files) => {
        const { noUploads } = latest.current;
        if (noUploads === undefined) uploads.add(files);
        else if (files.length > 0) view.value = { ...view.peek(), notice: noUploads };
      },
      tab: (key) => latest.current.onTab?.(key),
      released: () => {
        held.value = undefined;
      },
    });
    session.current = opened;
    return () => opened.close();
  }, []);
  useEffect(() => session.current?.apply(settings.value), [settings.value]);
  useEffect(() => {
    if (shown) {
      session.current?.wake();
      return;
    }
    const timer = setTimeout(() => session.current?.rest(), REST_AFTER_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  return session;
}
