/** Joins the emulator with the connection: what output, events and keys do. */
import { OUTPUT_RESUME_BYTES, type TerminalEvent } from "coder-protocol/terminal/events";
import { changeSettings, type Settings } from "../session/settings.ts";
import { type HeldKey, withHeld } from "./key-row.tsx";
import { type AppPlace, appAddress, linkTarget } from "./link-target.ts";
import { OutputFeed } from "./output-feed.ts";
import { PAGE } from "./page-surroundings.ts";
import { isRiskyPaste, pasteKeys } from "./paste.ts";
import type { Ask } from "./questions.tsx";
import { Screen } from "./screen.ts";
import { type ConnectionState, TerminalConnection } from "./terminal-connection.ts";
import { terminalKey } from "./terminal-keys.ts";
import { offerTestHook } from "./test-hook.ts";
import { plainTitle } from "./title.ts";
import { ToClipboard } from "./to-clipboard.ts";
import type { OpenTransport, TerminalTarget } from "./transport.ts";

export interface View {
  readonly state: ConnectionState;
  /** One line about what has just happened; empty for none. */
  readonly notice: string;
  /** A key was pressed while there was no connection. */
  readonly dropped: boolean;
  /** Names of all viewers, this one included. */
  readonly viewers: readonly string[];
  /** Another viewer's window determines the program's size. */
  readonly sizedFor: { readonly name: string; readonly cols: number; readonly rows: number } | undefined;
  /** How the server reaches the workspace; undefined when unknown. */
  readonly path: Extract<TerminalEvent, { type: "path" }> | undefined;
}

export const FIRST_VIEW: View = {
  state: { kind: "connecting" },
  notice: "",
  dropped: false,
  viewers: [],
  sizedFor: undefined,
  path: undefined,
};

export interface SessionEvents {
  show(change: Partial<View>): void;
  ask(question: Ask): void;
  title(text: string): void;
  /** The program rang the bell or sent a notification. */
  attention(): void;
  restart(): void;
  search(): void;
  files(files: readonly File[]): void;
  tab(key: TabKey): void;
  /** A held modifier has been applied to a key. */
  released(): void;
}

export type TabKey = "new-tab" | "close-tab" | "next-tab" | "earlier-tab";

export interface Shown {
  readonly target: TerminalTarget;
  /** Whether the program may have run before. */
  readonly known: boolean;
  readonly open: OpenTransport;
  /** Undefined until it is known. */
  readonly apps: () => AppPlace | undefined;
}

/** If the end of earlier output is not marked, output after this time counts as new. */
const REPLAY_MS = 300;
const STANDARD_SIZE = 14;
const SIZES = { least: 10, most: 24 };
const INTERRUPT = "\u0003";
/** An interrupt drops waiting output above this size; senders pause at twice as much. */
const FLOOD_BYTES = OUTPUT_RESUME_BYTES;
/** Ends any sequence that the dropped output began. */
const AFTER_DROP = "\u0018\u001b[0m\r\n\u001b[2m";

export class TerminalSession {
  readonly #events: SessionEvents;
  readonly #parent: HTMLElement;
  readonly #shown: Shown;
  readonly #life = new AbortController();
  readonly #clipboard: ToClipboard;
  #settings: Settings;
  #screen: Screen | undefined;
  #feed: OutputFeed | undefined;
  #connection: TerminalConnection | undefined;
  #state: ConnectionState = { kind: "connecting" };
  #replay: ReturnType<typeof setTimeout> | undefined;
  /** Where the user had scrolled to before earlier output is shown again. */
  #place: readonly string[] | undefined;
  #sizedElsewhere = false;
  /** The program may have been shown before, so the first output may be a replay. */
  #awaitsReplay = false;
  #greeted = false;
  #held: HeldKey;
  /** The user is asked about long pastes only once. */
  #pasteAgreed = false;

  constructor(parent: HTMLElement, shown: Shown, settings: Settings, events: SessionEvents) {
    this.#parent = parent;
    this.#shown = shown;
    this.#settings = settings;
    this.#events = events;
    this.#clipboard = new ToClipboard(events, () => this.#settings);
    void this.#open();
  }

  apply(settings: Settings): void {
    this.#settings = settings;
    this.#screen?.apply(settings);
    this.#connection?.resized();
  }

  focus(): void {
    this.#screen?.terminal.focus();
  }

  type(text: string): void {
    this.#send(text);
    this.focus();
  }

  find(text: string, back: boolean): boolean {
    const search = this.#screen?.search;
    return (back ? search?.findPrevious(text) : search?.findNext(text)) ?? false;
  }

  retryNow(): void {
    this.#connection?.retryNow();
  }

  /** Disconnects this viewer: the program runs on, and its output waits in the workspace. */
  rest(): void {
    this.#connection?.rest();
  }

  wake(): void {
    this.#connection?.wake();
    this.#screen?.fit();
    this.focus();
  }

  /** Gives the program the size of this window. */
  useOwnSize(): void {
    this.#connection?.control({ type: "focus" });
    this.focus();
  }

  detachOthers(): void {
    this.#connection?.control({ type: "detach-others" });
  }

  paste(text: string): void {
    const bracketed = this.#screen?.terminal.modes.bracketedPasteMode ?? false;
    if (text === "") return;
    if (this.#pasteAgreed || !isRiskyPaste(text, bracketed)) {
      this.#send(pasteKeys(text, bracketed));
      return;
    }
    this.#events.ask({
      kind: "paste",
      text,
      agree: () => {
        this.#pasteAgreed = true;
        this.#send(pasteKeys(text, bracketed));
      },
    });
  }

  close(): void {
    this.#life.abort();
    clearTimeout(this.#replay);
    this.#connection?.close();
    this.#screen?.dispose();
  }

  async #open(): Promise<void> {
    const screen = await Screen.open(this.#parent, this.#settings, {
      data: (text) => this.#typed(text),
      resized: () => this.#connection?.resized(),
      link: (text, event, hidden) => this.#link(text, event, hidden),
      title: (text) => this.#events.title(plainTitle(text)),
      clipboard: (data) => this.#clipboard.fromProgram(data),
      attention: () => {
        // A replay repeats old bells.
        if (this.#screen?.answers.replaying !== true) this.#events.attention();
      },
      selected: (text) => {
        if (this.#settings.copyOnSelect) void this.#clipboard.copy(text);
      },
    });
    if (this.#life.signal.aborted) return screen.dispose();
    this.#screen = screen;
    const { terminal } = screen;
    this.#listen(screen);
    const feed = new OutputFeed(terminal, (bytes) => this.#connection?.control({ type: "ack", bytes }));
    this.#feed = feed;
    this.#connection = new TerminalConnection(
      this.#shown,
      { open: this.#shown.open, around: PAGE },
      {
        state: (state) => this.#stateIs(state),
        opened: (again) => {
          feed.restart();
          screen.answers.replaying = false;
          this.#awaitsReplay = again;
        },
        output: (bytes) => {
          if (this.#awaitsReplay) this.#beginReplay(false);
          feed.push(bytes);
        },
        event: (event) => this.#event(event, screen, feed),
        size: () => screen.ownSize ?? { cols: terminal.cols, rows: terminal.rows },
      },
    );
    terminal.focus();
    const { terminalRenderer: renderer, screenReader } = this.#settings;
    if (renderer === "dom" || (renderer === "auto" && screenReader)) return;
    // Done after the first paint, so that the page does not wait for the graphics processor.
    requestAnimationFrame(() => {
      if (!this.#life.signal.aborted) void screen.useGpu();
    });
  }

  #listen({ terminal }: Screen): void {
    const { signal } = this.#life;
    terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.#parent.addEventListener("paste", (event) => this.#pasted(event), { capture: true, signal });
    this.#parent.addEventListener("dragover", (event) => event.preventDefault(), { signal });
    this.#parent.addEventListener("drop", (event) => this.#droppedOn(event), { signal });
    // The viewer that was focused last determines the program's size.
    const focused = (): void => {
      if (this.#sizedElsewhere) this.#connection?.control({ type: "focus" });
    };
    this.#parent.addEventListener("focusin", focused, { signal });
    offerTestHook(terminal, signal);
  }

  #stateIs(state: ConnectionState): void {
    this.#state = state;
    this.#events.show(state.kind === "open" ? { state, dropped: false } : { state });
  }

  /**
   * Earlier output comes again, with its queries, which must not be answered.
   * @param marked Its end is an event.
   */
  #beginReplay(marked: boolean): void {
    const screen = this.#screen;
    const feed = this.#feed;
    if (screen === undefined || feed === undefined) return;
    this.#awaitsReplay = false;
    this.#place ??= screen.place();
    screen.terminal.reset();
    screen.answers.replaying = true;
    clearTimeout(this.#replay);
    if (!marked) this.#replay = setTimeout(() => this.#endReplay(), REPLAY_MS);
  }

  /** In the order of the output: what the emulator has not read yet is still earlier output. */
  #endReplay(): void {
    clearTimeout(this.#replay);
    this.#feed?.after(() => {
      const screen = this.#screen;
      if (screen === undefined) return;
      screen.answers.replaying = false;
      if (this.#place !== undefined) screen.restorePlace(this.#place);
      this.#place = undefined;
    });
  }

  #event(event: TerminalEvent, screen: Screen, feed: OutputFeed): void {
    switch (event.type) {
      case "hello":
        clearTimeout(this.#replay);
        // Without records the greeting comes from the server: "fresh" then means new to that server, which may have restarted.
        if (event.terminal.fresh && (event.framed || !this.#awaitsReplay)) screen.answers.replaying = false;
        else this.#beginReplay(event.framed);
        this.#awaitsReplay = false;
        // A user who opens a terminal is using it; one whose connection was lost may be away.
        if (!this.#greeted && document.hasFocus()) this.#connection?.control({ type: "focus" });
        this.#greeted = true;
        break;
      case "replay-end":
        this.#endReplay();
        break;
      case "size": {
        const { cols, rows, name, yours } = event;
        this.#sizedElsewhere = !yours;
        // In the order of the output, because earlier output was printed for the earlier size.
        feed.after(() => {
          screen.foreignSize = yours ? undefined : { cols, rows };
        });
        this.#events.show({ sizedFor: yours ? undefined : { name, cols, rows } });
        if (yours) this.#connection?.resized();
        break;
      }
      case "viewers":
        feed.after(() => {
          screen.answers.elsewhere = !event.answers;
        });
        this.#events.show({ viewers: event.names });
        break;
      case "path":
        this.#events.show({ path: event });
        break;
      case "notice":
        this.#events.show({ notice: event.text.slice(0, 300) });
        break;
      case "exit":
      case "beat":
      case "replaced":
        break; // the end of the connection follows, or nothing
    }
  }

  /** A modifier from the key row above a touch keyboard, which applies to the next key. */
  set held(held: HeldKey) {
    this.#held = held;
    this.focus();
  }

  #typed(raw: string): void {
    const text = withHeld(raw, this.#held);
    if (this.#held !== undefined) {
      this.#held = undefined;
      this.#events.released();
    }
    const feed = this.#feed;
    if (text === INTERRUPT && feed !== undefined && feed.waiting > FLOOD_BYTES && this.#settings.dropFlood) {
      const dropped = feed.drop();
      const words = `${Math.round(dropped / 1024)} KiB of output were dropped after Ctrl-C`;
      this.#screen?.terminal.write(`${AFTER_DROP}${words}\u001b[0m\r\n`);
    }
    this.#send(text);
  }

  #send(text: string): void {
    if (this.#connection?.send(text) === true) return;
    const { kind } = this.#state;
    if (kind === "waiting" || kind === "connecting") this.#events.show({ dropped: true });
  }

  /** @returns Whether the emulator handles the key. */
  #key(event: KeyboardEvent): boolean {
    if (event.type !== "keydown") return true;
    const { kind } = this.#state;
    if (kind === "ended" || kind === "denied" || kind === "gone" || kind === "replaced") {
      if (kind === "ended" && event.key === "Enter") {
        event.preventDefault();
        this.#events.restart();
      }
      return false;
    }
    const key = terminalKey(event, {
      copies: this.#settings.ctrlCCopies && (this.#screen?.terminal.hasSelection() ?? false),
    });
    // The browser pastes, which is handled by its paste event.
    if (key === undefined || key.kind === "paste") return key === undefined;
    event.preventDefault();
    switch (key.kind) {
      case "send":
        this.#send(key.text);
        break;
      case "copy":
        void this.#clipboard.copy(this.#screen?.terminal.getSelection() ?? "");
        break;
      case "search":
        this.#events.search();
        break;
      case "leave":
        document.getElementById("content")?.focus();
        break;
      case "new-tab":
      case "close-tab":
      case "next-tab":
      case "earlier-tab":
        this.#events.tab(key.kind);
        break;
      case "standard-size":
        changeSettings({ terminalFontSize: STANDARD_SIZE });
        break;
      default: {
        const size = this.#settings.terminalFontSize + (key.kind === "larger" ? 1 : -1);
        changeSettings({ terminalFontSize: Math.min(SIZES.most, Math.max(SIZES.least, size)) });
      }
    }
    return false;
  }

  #pasted(event: ClipboardEvent): void {
    event.preventDefault();
    event.stopPropagation();
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) this.#events.files(files);
    else this.paste(event.clipboardData?.getData("text/plain") ?? "");
  }

  /** Files are uploaded, never typed. */
  #droppedOn(event: DragEvent): void {
    event.preventDefault();
    this.#events.files([...(event.dataTransfer?.files ?? [])]);
  }

  #link(text: string, event: MouseEvent, hidden: boolean): void {
    if (!this.#settings.plainClickOpensLinks && !event.ctrlKey && !event.metaKey) {
      this.#events.show({ notice: "Hold Ctrl or ⌘ and click to open the link" });
      return;
    }
    const target = linkTarget(text);
    if (target === undefined) this.#events.show({ notice: "Links of this kind are not opened" });
    else if (target.kind === "workspace-port") this.#openPort(target.port, target.url);
    else if (hidden) this.#events.ask({ kind: "link", url: target.url });
    else open(target.url, "_blank", "noopener,noreferrer");
  }

  /** If no app serves the port, the user is shown how to reach it. */
  #openPort(port: number, url: URL): void {
    const place = this.#shown.apps();
    const app = place === undefined ? undefined : appAddress(port, url, place, location.protocol);
    if (app === undefined) this.#events.ask({ kind: "workspace-port", port, url });
    else open(app, "_blank", "noopener,noreferrer");
  }
}
