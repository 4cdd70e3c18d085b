/** What leaves the terminal for the clipboard: a person's selection, and what a program asks for. */
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

  /** OSC 52; what follows the number. */
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
