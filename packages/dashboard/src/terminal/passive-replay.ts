/**
 * While earlier output is shown again, the questions in it must not be answered: the program that asked has had its answer,
 * and a second one would be typed into whatever runs now.
 */
import type { IDisposable, Terminal } from "@xterm/xterm";

/** Colours that OSC sequences set, or ask for with `?`. */
const OSC_COLOURS = [4, 10, 11, 12, 17, 19];

export class PassiveReplay {
  readonly #handlers: readonly IDisposable[];
  #passive = false;

  constructor(terminal: Terminal) {
    const { parser } = terminal;
    const ignore = (): boolean => this.#passive;
    const csi = (final: string, prefix = "", intermediates = ""): IDisposable =>
      parser.registerCsiHandler(
        { final, ...(prefix === "" ? {} : { prefix }), ...(intermediates === "" ? {} : { intermediates }) },
        ignore,
      );
    this.#handlers = [
      csi("c"), // device attributes
      csi("c", ">"),
      csi("c", "="),
      csi("n"), // status, position of the cursor
      csi("n", "?"),
      csi("x"),
      csi("q", ">"), // version
      csi("p", "", "$"), // modes
      csi("p", "?", "$"),
      csi("t"), // size of the window
      csi("u", "?"), // keyboard protocol
      parser.registerDcsHandler({ intermediates: "$", final: "q" }, ignore), // settings
      parser.registerDcsHandler({ intermediates: "+", final: "q" }, ignore),
      ...OSC_COLOURS.map((code) => parser.registerOscHandler(code, (data) => this.#passive && data.includes("?"))),
    ];
  }

  begin(): void {
    this.#passive = true;
  }

  end(): void {
    this.#passive = false;
  }

  dispose(): void {
    for (const handler of this.#handlers) handler.dispose();
  }
}
