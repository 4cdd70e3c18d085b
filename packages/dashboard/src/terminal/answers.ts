/**
 * An emulator answers the queries in a program's output by typing. It must not while earlier output is shown again (the
 * program that asked has had its answer, and a second one would reach whatever runs now), nor while another viewer's
 * emulator answers.
 */
import type { IDisposable, Terminal } from "@xterm/xterm";

/** Colours that OSC sequences set, or ask for with `?`. */
const OSC_COLOURS = [4, 10, 11, 12, 17, 19];

export class Answers {
  readonly #handlers: readonly IDisposable[];
  #replaying = false;
  #elsewhere = false;

  constructor(terminal: Terminal) {
    const { parser } = terminal;
    const ignore = (): boolean => this.#passive;
    const csi = (final: string, prefix = "", intermediates = ""): IDisposable =>
      parser.registerCsiHandler({ final, prefix, intermediates }, ignore);
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

  /** Whether what is parsed from now on is earlier output. */
  get replaying(): boolean {
    return this.#replaying;
  }

  set replaying(replaying: boolean) {
    this.#replaying = replaying;
  }

  /** Whether another viewer's emulator answers. */
  set elsewhere(elsewhere: boolean) {
    this.#elsewhere = elsewhere;
  }

  dispose(): void {
    for (const handler of this.#handlers) handler.dispose();
  }

  get #passive(): boolean {
    return this.#replaying || this.#elsewhere;
  }
}
