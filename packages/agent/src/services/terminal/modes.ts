/** Modes of a terminal that outlive the output which set them; a viewer that attaches later is put into them. */

/** Alternate screen; the later numbers act like the first. */
const ALTERNATE = [1049, 1047, 47];
/** What the mouse reports, and in which encoding: at most one of each. */
const MOUSE = [9, 1000, 1002, 1003];
const MOUSE_FORM = [1005, 1006, 1015, 1016];
const GROUPS = [ALTERNATE, MOUSE, MOUSE_FORM];
/** Application cursor keys, application keypad, bracketed paste, focus reports. */
const PLAIN = [1, 66, 2004, 1004];
/** Modes that are on in a new terminal: the cursor, automatic wrapping. */
const ON_AT_FIRST = [25, 7];

export class Modes {
  /** The private modes that are on. */
  readonly #on: Set<number>;

  constructor(on: Iterable<number> = ON_AT_FIRST) {
    this.#on = new Set(on);
  }

  clone(): Modes {
    return new Modes(this.#on);
  }

  /** `ESC` and one byte. */
  escape(final: string): void {
    if (final === "c") this.#reset(ON_AT_FIRST);
    else if (final === "=") this.#on.add(66);
    else if (final === ">") this.#on.delete(66);
  }

  /** A control sequence: parameters with intermediate bytes, and the final byte. */
  control(body: string, final: string): void {
    if (body === "!" && final === "p") {
      // DECSTR leaves the screen and the mouse as they are.
      for (const mode of [1, 66]) this.#on.delete(mode);
      for (const mode of ON_AT_FIRST) this.#on.add(mode);
      return;
    }
    if ((final !== "h" && final !== "l") || !/^\?[\d;]*$/.test(body)) return;
    for (const text of body.slice(1).split(";")) this.#set(Number(text), final === "h");
  }

  /** The sequences that put a new terminal into the modes which decide where output is drawn. */
  screen(): string {
    return this.#sequences(ALTERNATE, "h");
  }

  /** The sequences that put a new terminal into all other modes. */
  others(): string {
    const off = ON_AT_FIRST.filter((mode) => !this.#on.has(mode)).map((mode) => sequence(mode, "l"));
    return `${off.join("")}${this.#sequences([...PLAIN, ...MOUSE, ...MOUSE_FORM], "h")}`;
  }

  #set(mode: number, on: boolean): void {
    const group = GROUPS.find((modes) => modes.includes(mode));
    if (group === undefined && !PLAIN.includes(mode) && !ON_AT_FIRST.includes(mode)) return;
    for (const other of group ?? []) this.#on.delete(other);
    if (on) this.#on.add(mode);
    else this.#on.delete(mode);
  }

  #sequences(modes: readonly number[], final: "h" | "l"): string {
    return modes
      .filter((mode) => this.#on.has(mode))
      .map((mode) => sequence(mode, final))
      .join("");
  }

  #reset(on: readonly number[]): void {
    this.#on.clear();
    for (const mode of on) this.#on.add(mode);
  }
}

function sequence(mode: number, final: "h" | "l"): string {
  return `\u001b[?${mode}${final}`;
}
