/** Joins the emulator with the connection, and decides what output and keys may do. */
import { changeSettings, type Settings } from "../session/settings.ts";
import { clipboardWrite } from "./clipboard-write.ts";
import { linkTarget } from "./link-target.ts";
import { isRiskyPaste, pasteKeys } from "./paste.ts";
import { PtyConnection, type PtyState, type PtyTarget } from "./pty-connection.ts";
import type { Ask } from "./questions.tsx";
import { Screen } from "./screen.ts";
import { terminalKey } from "./terminal-keys.ts";
import { offerTestHook } from "./test-hook.ts";
import { plainTitle } from "./title.ts";

export interface View {
  readonly state: PtyState;
  /** One line about what just happened; empty: nothing. */
  readonly notice: string;
  /** A key was pressed while there was no connection. */
  readonly dropped: boolean;
}

export interface SessionEvents {
  show(change: Partial<View>): void;
  ask(question: Ask): void;
  title(text: string): void;
  restart(): void;
  search(): void;
}

/** Agents do not say where output of before ends: after this long what comes is new. */
const REPLAY_MS = 300;
const STANDARD_SIZE = 14;
const SIZES = { least: 10, most: 24 };

export class TerminalSession {
  readonly #events: SessionEvents;
  readonly #parent: HTMLElement;
  readonly #life = new AbortController();
  #settings: Settings;
  #screen: Screen | undefined;
  #connection: PtyConnection | undefined;
  #state: PtyState = { kind: "connecting" };
  #replay: ReturnType<typeof setTimeout> | undefined;
  /** Long pastes are asked about once. */
  #pasteAgreed = false;

  constructor(
    parent: HTMLElement,
    shown: { readonly target: PtyTarget; readonly known: boolean },
    settings: Settings,
    events: SessionEvents,
  ) {
    this.#parent = parent;
    this.#settings = settings;
    this.#events = events;
    void this.#open(shown.target, shown.known);
  }

  apply(settings: Settings): void {
    this.#settings = settings;
    this.#screen?.apply(settings);
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

  close(): void {
    this.#life.abort();
    clearTimeout(this.#replay);
    this.#connection?.close();
    this.#screen?.dispose();
  }

  async #open(target: PtyTarget, known: boolean): Promise<void> {
    const screen = await Screen.open(this.#parent, this.#settings, {
      data: (text) => this.#send(text),
      resized: () => this.#connection?.resized(),
      link: (text, event, hidden) => this.#link(text, event, hidden),
      title: (text) => this.#events.title(plainTitle(text)),
      clipboard: (data) => this.#clipboard(data),
      selected: (text) => {
        if (this.#settings.copyOnSelect && text !== "") void this.#copy(text);
      },
    });
    if (this.#life.signal.aborted) return screen.dispose();
    this.#screen = screen;
    const { terminal } = screen;
    terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.#parent.addEventListener("paste", (event) => this.#paste(event), {
      capture: true,
      signal: this.#life.signal,
    });
    offerTestHook(terminal, this.#life.signal);
    this.#connection = new PtyConnection(
      target,
      {
        state: (state) => this.#stateIs(state),
        opened: (again) => this.#opened(again),
        output: (bytes) => terminal.write(bytes),
        size: () => ({ cols: terminal.cols, rows: terminal.rows }),
      },
      known,
    );
    terminal.focus();
    const { terminalRenderer: renderer, screenReader } = this.#settings;
    if (renderer === "dom" || (renderer === "auto" && screenReader)) return;
    // After the first paint: the page is there before the graphics processor is.
    requestAnimationFrame(() => {
      if (!this.#life.signal.aborted) void screen.useGpu();
    });
  }

  #stateIs(state: PtyState): void {
    this.#state = state;
    this.#events.show({ state, ...(state.kind === "open" ? { dropped: false } : {}) });
  }

  /** Output of before comes again, with the questions in it; they are not answered. */
  #opened(again: boolean): void {
    const screen = this.#screen;
    if (!again || screen === undefined) return;
    screen.terminal.reset();
    screen.replay.begin();
    clearTimeout(this.#replay);
    // By the queue of the emulator: what it has not read yet is still of before.
    this.#replay = setTimeout(() => screen.terminal.write("", () => screen.replay.end()), REPLAY_MS);
  }

  #send(text: string): void {
    if (this.#connection?.send(text) !== true && this.#state.kind === "waiting") this.#events.show({ dropped: true });
  }

  /** @returns whether the emulator handles the key. */
  #key(event: KeyboardEvent): boolean {
    if (event.type !== "keydown") return true;
    const { kind } = this.#state;
    if (kind === "ended" || kind === "denied" || kind === "gone") {
      if (kind === "ended" && event.key === "Enter") {
        event.preventDefault();
        this.#events.restart();
      }
      return false;
    }
    const key = terminalKey(event);
    // The browser pastes, and the event of that is taken.
    if (key === undefined || key.kind === "paste") return key === undefined;
    event.preventDefault();
    switch (key.kind) {
      case "send":
        this.#send(key.text);
        break;
      case "copy":
        void this.#copy(this.#screen?.terminal.getSelection() ?? "");
        break;
      case "search":
        this.#events.search();
        break;
      case "leave":
        document.getElementById("content")?.focus();
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

  #paste(event: ClipboardEvent): void {
    event.preventDefault();
    event.stopPropagation();
    const text = event.clipboardData?.getData("text/plain") ?? "";
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

  #link(text: string, event: MouseEvent, hidden: boolean): void {
    if (!this.#settings.plainClickOpensLinks && !event.ctrlKey && !event.metaKey) {
      this.#events.show({ notice: "Hold Ctrl or ⌘ and click to open the link" });
      return;
    }
    const target = linkTarget(text);
    if (target === undefined) this.#events.show({ notice: "Links of this kind are not opened" });
    else if (target.kind === "workspace-port") this.#events.ask(target);
    else if (hidden) this.#events.ask({ kind: "link", url: target.url });
    else open(target.url, "_blank", "noopener,noreferrer");
  }

  #clipboard(data: string): void {
    const text = clipboardWrite(data);
    const { clipboardFromWorkspace: rule } = this.#settings;
    if (text === undefined || rule === "deny" || !document.hasFocus()) return;
    if (rule === "allow") void this.#copy(text, "from the workspace");
    else this.#events.ask({ kind: "clipboard", text, agree: () => void this.#copy(text, "from the workspace") });
  }

  async #copy(text: string, origin = ""): Promise<void> {
    if (text === "") return;
    const done = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    const words = `Copied ${text.length} characters${origin === "" ? "" : ` ${origin}`}`;
    this.#events.show({ notice: done ? words : "The browser refused to copy" });
  }
}
