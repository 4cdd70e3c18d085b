/**
 * An emulator answers the queries in a program's output by typing. It must not do so while earlier output is shown again (the
 * query has been answered, and a second answer would reach the program that runs now), nor while another viewer's emulator
 * answers.
 */
import type { IDisposable, Terminal } from "@xterm/xterm";

/** Colours that OSC sequences set, or query with `?`. */
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
      csi("n"), // status, cursor position
      csi("n", "?"),
      csi("x"),
      csi("q", ">"), // version
      csi("p", "", "$"), // modes
      csi("p", "?", "$"),
      csi("t"), // window size
      csi("u", "?"), // keyboard protocol
      parser.registerDcsHandler({ intermediates: "$", final: "q" }, ignore), // settings
      parser.registerDcsHandler({ intermediates: "+", final: "q" }, ignore),
      ...OSC_COLOURS.map((code) => parser.registerOscHandler(code, (data) => this.#passive && data.includes("?"))),
    ];
  }

  /** Whether what is being parsed is earlier output. */
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
