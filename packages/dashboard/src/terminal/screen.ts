/** The emulator with its parts, assembled for one element of a page. */
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { UnicodeGraphemesAddon } from "@xterm/addon-unicode-graphemes";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type IDisposable, Terminal } from "@xterm/xterm";
import type { Settings } from "../session/settings.ts";
import { Answers } from "./answers.ts";
import { isNotification } from "./attention.ts";
import { anchorOf, findAnchor } from "./scroll-anchor.ts";
import { THEMES } from "./themes.ts";
import type { TerminalSize } from "./transport.ts";

const SYSTEM_FONT = "ui-monospace, Menlo, Consolas, monospace";
const FONTS: Readonly<Record<Settings["terminalFont"], string>> = {
  "jetbrains-mono": `"JetBrains Mono Variable", ${SYSTEM_FONT}`,
  system: SYSTEM_FONT,
};
const FONT_WITHIN_MS = 1_500;
const SCROLLBACK_LINES = 10_000;

export interface ScreenEvents {
  /** Keys, and the emulator's answers to the program. */
  data(text: string): void;
  /** The element's size has changed. */
  resized(): void;
  /** `hidden`: the link comes from OSC 8, whose visible text may differ from its target. */
  link(url: string, event: MouseEvent, hidden: boolean): void;
  title(text: string): void;
  /** The part of an OSC 52 sequence after the number. */
  clipboard(data: string): void;
  selected(text: string): void;
  /** The program rang the bell or sent a notification. */
  attention(): void;
}

export class Screen {
  readonly terminal: Terminal;
  readonly search = new SearchAddon();
  readonly answers: Answers;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  readonly #parts: IDisposable[] = [];
  #gpu: IDisposable | undefined;
  /** The program's size while another viewer determines it. */
  #foreign: TerminalSize | undefined;

  /** Waits for the font, because the cell size is measured only once. */
  static async open(parent: HTMLElement, settings: Settings, events: ScreenEvents): Promise<Screen> {
    const font = document.fonts.load(`${settings.terminalFontSize}px ${FONTS[settings.terminalFont]}`);
    await Promise.race([font, new Promise((resolve) => setTimeout(resolve, FONT_WITHIN_MS))]);
    return new Screen(parent, settings, events);
  }

  private constructor(parent: HTMLElement, settings: Settings, events: ScreenEvents) {
    this.terminal = new Terminal({
      allowProposedApi: true,
      fontFamily: FONTS[settings.terminalFont],
      fontSize: settings.terminalFontSize,
      scrollback: SCROLLBACK_LINES,
      minimumContrastRatio: 4.5,
      customGlyphs: true,
      macOptionIsMeta: true,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      screenReaderMode: settings.screenReader,
      theme: currentTheme(settings),
      linkHandler: { activate: (event, text) => events.link(text, event, true) },
    });
    const { terminal } = this;
    terminal.loadAddon(this.#fit);
    terminal.loadAddon(this.search);
    terminal.loadAddon(new UnicodeGraphemesAddon());
    terminal.loadAddon(new WebLinksAddon((event, text) => events.link(text, event, false)));
    this.answers = new Answers(terminal);
    this.#parts.push(
      terminal.onData(events.data),
      terminal.onBinary(events.data),
      terminal.onTitleChange(events.title),
      terminal.onSelectionChange(() => events.selected(terminal.getSelection())),
      terminal.parser.registerOscHandler(52, (data) => {
        events.clipboard(data);
        return true;
      }),
      terminal.onBell(events.attention),
      ...([9, 777] as const).map((command) =>
        terminal.parser.registerOscHandler(command, (data) => {
          if (isNotification(command, data)) events.attention();
          return true;
        }),
      ),
    );
    terminal.open(parent);
    this.fit();
    this.#observer = new ResizeObserver(() => {
      this.fit();
      events.resized();
    });
    this.#observer.observe(parent);
  }

  /** The size that fills the element; undefined while it is hidden, since the emulator would then assume two columns. */
  get ownSize(): TerminalSize | undefined {
    if ((this.terminal.element?.parentElement?.clientWidth ?? 0) === 0) return undefined;
    const size = this.#fit.proposeDimensions();
    return size !== undefined && size.cols > 0 && size.rows > 0 ? size : undefined;
  }

  fit(): void {
    const size = this.#foreign ?? this.ownSize;
    if (size !== undefined) this.terminal.resize(size.cols, size.rows);
  }

  /** Draws the program in the size that another viewer gave it; undefined for the size of the element. */
  set foreignSize(size: TerminalSize | undefined) {
    this.#foreign = size;
    this.fit();
  }

  /** Where the user has scrolled to, for {@link restorePlace}; undefined at the end of the output. */
  place(): readonly string[] | undefined {
    const { active } = this.terminal.buffer;
    if (active.viewportY >= active.baseY) return undefined;
    return anchorOf(this.#lines(active.viewportY, active.viewportY + this.terminal.rows));
  }

  restorePlace(anchor: readonly string[]): void {
    const { active } = this.terminal.buffer;
    const end = findAnchor(this.#lines(0, active.length), anchor);
    if (end !== undefined) this.terminal.scrollToLine(Math.max(0, end - this.terminal.rows));
  }

  apply(settings: Settings): void {
    this.terminal.options.theme = currentTheme(settings);
    this.terminal.options.screenReaderMode = settings.screenReader;
    const { options } = this.terminal;
    const font = FONTS[settings.terminalFont];
    if (options.fontSize === settings.terminalFontSize && options.fontFamily === font) return;
    options.fontSize = settings.terminalFontSize;
    options.fontFamily = font;
    this.fit();
  }

  /**
   * Uses the graphics processor from now on, until that fails.
   * @returns Whether it could.
   */
  async useGpu(): Promise<boolean> {
    try {
      const { WebglAddon } = await import("@xterm/addon-webgl");
      const addon = new WebglAddon();
      addon.onContextLoss(() => addon.dispose()); // the emulator then draws with elements again
      this.terminal.loadAddon(addon);
      this.#gpu = addon;
      return true;
    } catch {
      return false; // there is no WebGL 2, or its script could not be loaded
    }
  }

  #lines(from: number, to: number): string[] {
    const { active } = this.terminal.buffer;
    return Array.from({ length: to - from }, (_, row) => active.getLine(from + row)?.translateToString(true) ?? "");
  }

  dispose(): void {
    this.#observer.disconnect();
    this.answers.dispose();
    for (const part of this.#parts) part.dispose();
    this.#gpu?.dispose();
    this.terminal.dispose();
  }
}

function currentTheme(settings: Settings): (typeof THEMES)["dark"] {
  const light =
    settings.theme === "light" || (settings.theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  return THEMES[light ? "light" : "dark"];
}
