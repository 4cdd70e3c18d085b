/** Escapes of an interactive session. As in OpenSSH, they are recognised only at the start of a line. */
export type EscapeAction = "disconnect" | "help" | "suspend" | "status";

export const ESCAPE_HELP = [
  "Supported escape sequences:",
  "  ~.   leave the session, even if it no longer answers",
  "  ~#   show how the workspace is reached",
  "  ~^Z  suspend coder",
  "  ~?   this message",
  "  ~~   send one ~",
].join("\r\n");

const NEWLINE = 10;
const RETURN = 13;
const TILDE = 126;
const ACTIONS: Readonly<Record<number, EscapeAction>> = { 46: "disconnect", 63: "help", 26: "suspend", 35: "status" };

/** Takes typed bytes and returns those for the workspace; calls back for each escape. */
export class EscapeFilter {
  readonly #onAction: (action: EscapeAction) => void;
  #atLineStart = true;
  #sawTilde = false;

  constructor(onAction: (action: EscapeAction) => void) {
    this.#onAction = onAction;
  }

  feed(typed: Uint8Array): Uint8Array {
    const out: number[] = [];
    for (const byte of typed) {
      if (this.#sawTilde) {
        this.#sawTilde = false;
        const action = ACTIONS[byte];
        if (action !== undefined) {
          this.#onAction(action);
          continue;
        }
        out.push(TILDE);
        if (byte === TILDE) {
          this.#atLineStart = false;
          continue;
        }
      } else if (this.#atLineStart && byte === TILDE) {
        this.#sawTilde = true;
        continue;
      }
      out.push(byte);
      this.#atLineStart = byte === NEWLINE || byte === RETURN;
    }
    return Uint8Array.from(out);
  }
}
