/** What the terminal puts into the clipboard: the user's selection, and what a program requests. */
import type { Settings } from "../session/settings.ts";
import { clipboardWrite } from "./clipboard-write.ts";
import type { Ask } from "./questions.tsx";

export interface ClipboardEvents {
  show(change: { readonly notice: string }): void;
  ask(question: Ask): void;
}

export class ToClipboard {
  readonly #events: ClipboardEvents;
  readonly #settings: () => Settings;

  constructor(events: ClipboardEvents, settings: () => Settings) {
    this.#events = events;
    this.#settings = settings;
  }

  /** The part of an OSC 52 sequence after the number. */
  fromProgram(data: string): void {
    const text = clipboardWrite(data);
    const rule = this.#settings().clipboardFromWorkspace;
    if (text === undefined || rule === "deny" || !document.hasFocus()) return;
    if (rule === "allow") void this.copy(text, "from the workspace");
    else this.#events.ask({ kind: "clipboard", text, agree: () => void this.copy(text, "from the workspace") });
  }

  async copy(text: string, origin = ""): Promise<void> {
    if (text === "") return;
    const done = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    const words = `Copied ${text.length} characters${origin === "" ? "" : ` ${origin}`}`;
    this.#events.show({ notice: done ? words : "The browser refused to copy" });
  }
}
